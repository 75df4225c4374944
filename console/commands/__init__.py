"""The commands by what they are about. Parse, call, print; what they do is elsewhere, imported when it is needed."""
