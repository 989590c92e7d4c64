"""Create or update the virtual environment from the hash-locked requirements, and say what goes on meanwhile.

`python3 .ci/install.py runtime` installs what foreact needs to run, `dev` what tests and linters need too, `docs` what
builds the documentation. It runs on whatever Python there is, so that an old one is told so in one line; it uses
nothing but the standard library.
"""

import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
LOCKS = {"runtime": "requirements.lock", "dev": "requirements-dev.lock", "docs": "requirements-docs.lock"}
OLDEST = (3, 11)
SAY_EVERY_S = 5.0


def fail(message):
    """End with one line."""
    sys.stderr.write(f"foreact: {message}\n")
    sys.exit(1)


def say(message):
    """Print a line at once."""
    sys.stdout.write(f"foreact: {message}\n")
    sys.stdout.flush()


def create_environment():
    """Make `.venv` unless there is one that runs."""
    if os.path.exists(PYTHON) and subprocess.call([PYTHON, "-c", "import pip"], stderr=subprocess.DEVNULL) == 0:
        return
    say(f"creating .venv with Python {version(3)}")
    command = [sys.executable, "-m", "venv", "--clear", VENV]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if made.returncode != 0:
        output = made.stdout.decode("utf-8", "replace")
        if "ensurepip" in output:
            fail(
                "this Python cannot create virtual environments; on Debian and Ubuntu: "
                f"apt install python{version(2)}-venv, then try again."
            )
        fail(f"the virtual environment could not be created: {last_line(output)}")


def install(lock):
    """Install exactly what the lock file names; hashes are checked, nothing is resolved."""
    path = os.path.join(ROOT, lock)
    with open(path) as handle:
        total = sum(1 for line in handle if re.match(r"^[A-Za-z0-9]", line))
    say(f"installing {total} packages of {lock} (a minute or two; later starts skip this)")
    command = [PYTHON, "-m", "pip", "install", "--no-deps", "--require-hashes", "--no-input", "--progress-bar", "off"]
    run_pip([*command, "--disable-pip-version-check", "-r", path], total)


def run_pip(command, total):
    """Run pip, turning its many lines into a count every few seconds."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    seen, errors, said_s = 0, [], time.monotonic()
    for raw in process.stdout:
        line = raw.decode("utf-8", "replace").strip()
        if line.startswith(("Collecting ", "Requirement already satisfied", "Ignoring ")):
            seen += 1
        elif line.startswith("Installing collected packages"):
            say("  all fetched and checked; unpacking them")
        elif line.startswith(("ERROR", "error", "WARNING: Retrying")):
            errors.append(line)
        if time.monotonic() - said_s > SAY_EVERY_S:
            said_s = time.monotonic()
            say(f"  {min(seen, total)} of {total}")
    if process.wait() != 0:
        fail(reason(errors))


def reason(errors):
    """Turn pip's errors into one line."""
    text = " ".join(errors)
    if "Retrying" in text or "Connection" in text or "Could not find a version" in text or "resolve" in text:
        return f"packages could not be fetched; is there a network, or an index that pip knows? ({errors[-1]})"
    if "HASHES" in text or "hash" in text:
        return f"a package does not match the hash in the lock file, so nothing of it was used. ({errors[-1]})"
    if "No space left" in text:
        return "the disk is full."
    return f"pip failed: {errors[-1] if errors else 'no reason given'}"


def install_project():
    """Make the project itself importable from everywhere in `.venv`, without copying it."""
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-input"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "-e", ROOT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode != 0:
        fail(f"the project could not be installed: {last_line(done.stdout.decode('utf-8', 'replace'))}")


def version(parts):
    """Return the first parts of this Python's version."""
    return ".".join(str(part) for part in sys.version_info[:parts])


def last_line(output):
    """Return the last line that says something."""
    return (output.strip().splitlines() or ["no reason given"])[-1]


def main(kind):
    """Install one of the two sets."""
    if sys.version_info < OLDEST:
        fail(f"Python 3.11 or newer is needed, this is {version(2)}; name another with `make PYTHON=...`.")
    started_s = time.monotonic()
    create_environment()
    install(LOCKS[kind])
    install_project()
    say(f"installed in {time.monotonic() - started_s:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runtime")
