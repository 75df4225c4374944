"""Write the rules into `docs/security.md` anew."""

from tests.security.page import PAGE, page

PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
