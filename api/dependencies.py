"""What every endpoint is given."""

from __future__ import annotations

import time
from typing import Annotated, cast

from fastapi import Depends, Request

from api.access import Caller
from api.facade import Facade


def facade(request: Request) -> Facade:
    """Return the facade that serves a request."""
    in_app = cast(Facade, request.app.state.facade)
    in_app.visits.newest_s = time.monotonic()
    return in_app


FacadeDep = Annotated[Facade, Depends(facade)]


def caller_of(request: Request) -> Caller:
    """Return who sent a request, as the filter before it found."""
    return cast(Caller, request.scope["foreact.caller"])


CallerDep = Annotated[Caller, Depends(caller_of)]
