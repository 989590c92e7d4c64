"""Ask a running foreact what each of its actions would change in half an hour: `python examples/what_if.py`."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import httpx

ADDRESS = os.environ.get("FOREACT_URL", "http://127.0.0.1:5003")


def main() -> None:
    """Print one line for each action: what it would change, or that nothing is believed of it."""
    key = os.environ.get("FOREACT_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=f"{ADDRESS}/api/autonomous", headers=headers, timeout=30) as foreact:
        at = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
        for action in foreact.get("/actions", params={"available": True}).raise_for_status().json()["available"]:
            answer = foreact.get("/whatif", params={"action": action["name"], "at": at})
            told = answer.json()
            print(f"{action['name']}: {told['sentence'] if answer.is_success else told['detail']}")


if __name__ == "__main__":
    main()
