"""The web page of the service: what a person looks at, made of HTML by the server.

    addresses   which paths are pages
    visitors    who looks at a page: a session cookie for an API key; forms that only our own pages can send
    commands    what a page shows to be copied into a terminal
    rendering   templates to responses, with their security headers
    problems    an error as a page
    pages/      a file for each screen; each calls vecver as the routes of /v1 do

Decisions
1. Pages are plain HTML with links and forms: they work without a script, every view has an address that can be
   shared, and nothing is built when the package is installed. A script of this package adds keys and copying.
2. No style or script in the HTML, so that the Content-Security-Policy forbids both: text of a document that reached
   the page unescaped could still do nothing.
"""

from vecver_service.ui.addresses import is_page
from vecver_service.ui.pages import ROUTERS
from vecver_service.ui.problems import problem_page
from vecver_service.ui.visitors import Visitors

__all__ = ["ROUTERS", "Visitors", "is_page", "problem_page"]
