#!/usr/bin/env python3
"""run.py BUILD_FOLDER [NAME…]: the agent's pages in a real Chromium, while the agent asks the lab's servers and some hostile ones.

Fetches what package-lock.json names (npm, 15 MB) into BUILD_FOLDER/browser, then main.mjs does the rest and leaves nothing running.
NAME: way, looks, lists, notices, hostile, mended.
AJAR_SCREENSHOTS=FOLDER: the pictures of the README are written there. Without npm or chromium it says so and is skipped (exit 77)."""
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / 'tests/browser'
SKIPPED = 77


def fetch(work):
    lock = (HERE / 'package-lock.json').read_bytes()
    fetched = work / 'fetched'
    if fetched.exists() and fetched.read_bytes() == lock:
        return True
    for name in ('package.json', 'package-lock.json'):
        shutil.copy(HERE / name, work)
    npm = subprocess.run(['npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'], cwd=work,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    if npm.returncode != 0:
        print('npm ci failed:\n' + npm.stdout)
        return False
    fetched.write_bytes(lock)
    return True


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 3
    build = pathlib.Path(sys.argv[1]).resolve()
    for program in ('npm', 'node', 'chromium'):
        if shutil.which(program) is None:
            print(f'{program} is not installed: no browser looks at the pages')
            return SKIPPED
    work = build / 'browser'
    work.mkdir(exist_ok=True)
    if not fetch(work):
        return 1
    # A module is looked for beside the file that imports it, and above.
    for old in work.glob('*.mjs'):
        old.unlink()
    for source in HERE.glob('*.mjs'):
        shutil.copy(source, work)
    if os.environ.get('AJAR_SCREENSHOTS'):
        os.environ['AJAR_SCREENSHOTS'] = str(pathlib.Path(os.environ['AJAR_SCREENSHOTS']).resolve())
    sys.stdout.flush()
    os.execvp('node', ['node', '--test-reporter=spec', str(work / 'main.mjs'), str(build), str(ROOT), *sys.argv[2:]])


if __name__ == '__main__':
    sys.exit(main())
