#!/usr/bin/env python3
"""dashboard_types.py [ROOT]: dashboards/grafana/*.json against the types that Grafana publishes for dashboards (@grafana/schema), by tsc.

Needs npm and its registry, which fetches two packages into a temporary folder; without npm it says so and is skipped (exit 77)."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]).resolve()
SKIPPED = 77
HEAD = """import type { Dashboard } from '@grafana/schema';
// JSON holds the values of enums, not their names.
type Json<T> = T extends string ? `${T}`
  : T extends number ? (number extends T ? number : `${T}` extends `${infer N extends number}` ? N : T)
  : T extends (infer U)[] ? Json<U>[]
  : T extends object ? { [K in keyof T]: Json<T[K]> }
  : T;
"""
COMPILER = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'nodenext', '--moduleResolution', 'nodenext']


def check(work, name, text):
    (work / name).write_text(HEAD + 'const dashboard: Json<Dashboard> = ' + text + ';\nexport default dashboard;\n')


def tsc(work, names):
    return subprocess.run(['node_modules/.bin/tsc', *COMPILER, *names], cwd=work, capture_output=True, text=True, timeout=120)


def main():
    if shutil.which('npm') is None:
        print('npm is not installed: the dashboards are not held against Grafana\'s types')
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        for name in ('package.json', 'package-lock.json'):
            shutil.copy(ROOT / 'tests/grafana_schema' / name, work)
        fetched = subprocess.run(['npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'], cwd=work,
                                 capture_output=True, text=True, timeout=300)
        if fetched.returncode != 0:
            print('npm ci failed:\n' + fetched.stdout + fetched.stderr)
            return 1
        names = []
        for dashboard in sorted((ROOT / 'dashboards/grafana').glob('*.json')):
            names.append(dashboard.stem + '.ts')
            check(work, names[-1], dashboard.read_text())
        if not names:
            print('no dashboards in dashboards/grafana')
            return 1
        found = tsc(work, names)
        if found.returncode != 0:
            print(found.stdout + found.stderr)
            return 1
        # It can fail: a word where a number belongs.
        check(work, 'wrong.ts', '{ "title": "x", "schemaVersion": "thirty-nine" }')
        if tsc(work, ['wrong.ts']).returncode == 0:
            print('the types let a wrong dashboard pass')
            return 1
        print(f'{len(names)} dashboards are what Grafana\'s types say')
    return 0


if __name__ == '__main__':
    os.environ.pop('npm_config_nodedir', None)
    sys.exit(main())
