#!/usr/bin/env python3
"""clang_tidy.py BUILD_FOLDER [ROOT]: runs clang-tidy-19 over checks/, config/, agent/ and the tests' own programs, on all cores.

Takes BUILD_FOLDER/compile_commands.json without what only g++ understands. A source that passed is not looked at again until it, a
project header that it reaches, its command or .clang-tidy changes (BUILD_FOLDER/clang-tidy holds the marks). *_test.cc are left out:
the macros of GoogleTest cost more than they tell.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

TIDY = 'clang-tidy-19'
# The analyzer's deep mode takes minutes on a coroutine that awaits thirty times; the shallow one seconds.
SHALLOW = ['--extra-arg=-Xclang', '--extra-arg=-analyzer-config', '--extra-arg=-Xclang', '--extra-arg=mode=shallow']
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)
ROOMS = ('checks/', 'config/', 'agent/', 'tests/lab/', 'tests/support/', 'tests/fuzz/', 'tests/e2e/', 'tests/bench/')


def reached(root, source):
    """The source and every project header that it includes, directly or not."""
    seen, queue = set(), [source]
    while queue:
        path = queue.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        for name in INCLUDE.findall(path.read_text(encoding='utf-8')):
            queue += [root / name, path.parent / name]
    return sorted(seen)


def clang_arguments(entry):
    """The entry's command as clang understands it: no launcher, no precompiled header, no g++ options."""
    words = shlex.split(entry['command']) if 'command' in entry else list(entry['arguments'])
    while words and os.path.basename(words[0]) in ('ccache', 'env'):
        words.pop(0)
    kept, skip = [], 0
    for i, word in enumerate(words):
        if skip:
            skip -= 1
        elif word == '-include' and 'cmake_pch' in words[i + 1]:
            skip = 1
        elif word in ('-fpch-preprocess', '-Winvalid-pch', '-c', '-Werror') or word.startswith('-fsanitize') or word.startswith('-fno-sanitize'):
            continue
        elif word == '-o':
            skip = 1
        else:
            kept.append(word)
    return kept


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    root = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).parent.parent.parent).resolve()
    marks = build / 'clang-tidy'
    marks.mkdir(exist_ok=True)
    version = subprocess.run([TIDY, '--version'], capture_output=True, text=True, check=True).stdout + (root / '.clang-tidy').read_text()

    entries, keys = [], {}
    for entry in json.loads((build / 'compile_commands.json').read_text()):
        source = pathlib.Path(entry['directory'], entry['file']).resolve()
        if not source.is_relative_to(root):
            continue
        name = source.relative_to(root).as_posix()
        if source.suffix != '.cc' or name.endswith('_test.cc') or not name.startswith(ROOMS) or name in keys:
            continue
        command = clang_arguments(entry)
        digest = hashlib.sha256(version.encode() + '\0'.join(command).encode())
        for path in reached(root, source):
            digest.update(path.read_bytes())
        keys[name] = digest.hexdigest()
        if not (marks / keys[name]).exists():
            entries.append({'directory': entry['directory'], 'file': str(source), 'arguments': command, 'name': name})

    database = marks / 'compile_commands.json'
    database.write_text(json.dumps([{k: e[k] for k in ('directory', 'file', 'arguments')} for e in entries]))

    def look(entry):
        return entry, subprocess.run([TIDY, '-p', str(marks), '--quiet', *SHALLOW, f'--config-file={root / ".clang-tidy"}', entry['file']],
                                     capture_output=True, text=True, check=False)

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for entry, result in pool.map(look, entries):
            if result.returncode == 0:
                (marks / keys[entry['name']]).touch()
                continue
            failed += 1
            print(result.stdout.replace(f'{root}/', ''), end='')
            print('\n'.join(line for line in result.stderr.splitlines() if 'warnings generated' not in line and 'Suppressed' not in line))
    print(f'clang-tidy: {len(keys)} sources, {len(entries)} looked at, {failed} with findings')
    return 1 if failed or not keys else 0


if __name__ == '__main__':
    sys.exit(main())
