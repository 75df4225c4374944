"""Run ids that people can say: the experiment, an adjective, an animal. Valid as names of Azure jobs."""

from __future__ import annotations

import re
import secrets

_ADJECTIVES = """
able agile amber ample awake azure blithe bold brave breezy bright brisk calm candid careful cheery civil clear
clever cosy crisp curious daring dapper deft eager early easy elated fair famous fancy fleet fluent fond frank free
fresh gentle glad golden good grand green happy hardy hearty honest humble ideal jolly jovial keen kind lively loyal
lucid lucky mellow merry mighty mild modest neat nimble noble novel open patient peppy placid plucky polite prime
prompt proud quick quiet rapid ready rosy royal savvy serene sharp shiny silent silver sleek smart smooth snug sober
solid spry stable steady stoic sturdy subtle sunny super swift tender tidy tough true upbeat vivid warm wise witty
zesty
"""
ADJECTIVES = _ADJECTIVES.split()
_ANIMALS = """
alpaca ant antelope auk badger bat beaver bee beetle bison boar bream buffalo camel carp cat cheetah civet cod
condor coot cougar crab crane cricket crow deer dingo dolphin dove duck eagle eel egret eland elk emu falcon ferret
finch fox frog gazelle gecko gibbon goat goose grouse gull hare hawk heron hippo hornet horse hound ibex ibis iguana
jackal jay kestrel kite kiwi koala lark lemur leopard lion llama lobster lynx macaw magpie marten mink mole moose
moth mouse newt ocelot octopus orca oriole osprey otter owl ox panda parrot pelican perch pigeon pike plover pony
puffin puma quail rabbit raven robin salmon seal shrew skylark sloth snail sparrow squid stork swan swift tapir tern
tiger toad trout turtle viper vole walrus wasp weasel whale wolf wombat wren yak zebra
"""
ANIMALS = _ANIMALS.split()
LONGEST = 40
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without those that look like another."""
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9-]+")


def base(text: str) -> str:
    """Return the first part of a run's id, made of an experiment's or a folder's name."""
    found = _NOT_ALLOWED.sub("-", text).strip("-")[:LONGEST].strip("-").lower()
    return found or "run"


def propose(text: str, attempt: int = 0, *, shared: bool = False) -> str:
    """Make up an id; after a few that were taken, one with a number that hardly can be.

    `shared`: among the jobs of a whole workspace, which we don't list first; three letters more make some 300 million
    names for each experiment.
    """
    words = f"{base(text)}-{secrets.choice(ADJECTIVES)}-{secrets.choice(ANIMALS)}"
    if shared:
        words += "-" + "".join(secrets.choice(_LETTERS) for _ in range(3))
    return words if attempt < 5 else f"{words}-{secrets.randbelow(10**6):06}"  # noqa: PLR2004
