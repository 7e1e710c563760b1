#!/usr/bin/env python3
"""soak.py BUILD_FOLDER [MINUTES] [HOSTS]: the agent at its full rate on the lab's fleet for half an hour, while one server in twenty
changes from closed to open and back all the time. At the end, and on the way:

    truth        each time that a server was open is one exposure, begun and ended in time; there is no other one
    noticed      an opening within an interval, an end within an interval and a retry, and TOLERANCE
    memory       after the warm-up the resident set grows by no more than MEMORY_GROWTH
    descriptors  so many as after the warm-up, and no more

The truth is what was told to the lab's control, when. A server keeps a state long enough to be noticed in it. Loopback only; the lab
has fixed ports, so nothing else of ours may run. Exit status 1 when one of them does not hold.
"""
import argparse
import contextlib
import dataclasses
import datetime
import json
import math
import os
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

INTERVAL, RETRY, TOLERANCE = 30, 5, 20  # seconds. The tolerance: the probe itself, a schedule under load, the message's way
SHORTEST_STAY = INTERVAL + RETRY + TOLERANCE + 5
LONGEST_STAY = 2 * SHORTEST_STAY
CHANGING = 0.05
MEMORY_GROWTH, MEMORY_GROWTH_KIB = 0.05, 8192  # of what it is after the warm-up, and a little that is allowed in any case
DESCRIPTORS_MORE = 16
WEB, CONTROL, PORT = 29926, 29927, 2526

CONFIG = """scope = ["127.0.0.0/8"]
[agent]
name = "probe.ajar.test"
contact = "mailto:postmaster@ajar.test"
source_addresses = ["127.66.0.1"]
interval = "{interval}s"
full_matrix_interval = "10m"
retry_interval = "{retry}s"
reply_timeout = "5s"
reopen_within = "100ms"
connections_per_second_per_network = 0
daily_connections_per_address = 0
daily_bytes_per_address = 0
state = "{folder}/ajar.db"
[web]
listen = ["127.0.0.1:{web}"]
[canary]
listen_tcp = ["127.9.9.9:8025"]
advertise_tcp = ["127.9.9.9:8025"]
listen_smtp = ["127.9.9.9:2525"]
advertise_smtp = ["127.9.9.9:2525"]
host = "canary.test"
mail_domain = "canary.test"
secret_file = "{folder}/canary.secret"
delivery_timeout = "20s"
message_interval = "10s"
[dnsbl]
zones = []
"""
TARGET = """[[target]]
name = "{address}"
address = "{address}"
checks = ["smtp_relay"]
ports.smtp_relay = [{port}]
"""
BAD = 'open'


def fetch(url, method='GET'):
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
        return answer.read().decode()


def api(path):
    return json.loads(fetch(f'http://127.0.0.1:{WEB}{path}'))['data']


def seconds_of(stamp):
    return datetime.datetime.fromisoformat(stamp).timestamp() if stamp else None


@contextlib.contextmanager
def program(command, log):
    """Ends with this script, however that ends."""
    process = subprocess.Popen(['setpriv', '--pdeathsig', 'TERM', *map(str, command)], stdout=log, stderr=log,
                               env={**os.environ, 'ASAN_OPTIONS': 'quarantine_size_mb=16'})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(what, condition, seconds):
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return
        if time.monotonic() > until:
            sys.exit(f'soak: {what}: not within {seconds} s')
        time.sleep(0.2)


@dataclasses.dataclass
class Stay:
    """A server was open."""
    address: str
    begun: float
    ended: float | None = None


class World:
    """The lab's fleet, as it is told to be. Some servers change for ever; the rest stays as the seed has it."""

    def __init__(self, changing_share, random_numbers):
        self.random = random_numbers
        places = [json.loads(line) for line in fetch(f'http://127.0.0.1:{CONTROL}/').splitlines()]
        fleet = {place['address']: place['personality'] for place in places
                 if place['port'] == PORT and place['address'].startswith('127.2')}
        self.addresses = list(fleet)
        self.stays = [Stay(address, 0) for address, personality in fleet.items() if personality == BAD]
        honest = sorted(address for address, personality in fleet.items() if personality == 'closed')
        chosen = self.random.sample(honest, int(len(fleet) * changing_share))
        self.next_change = {address: 0.0 for address in chosen}
        self.now_open = {}
        self.changes = 0

    def begin(self):
        """Spread, so that something changes at each moment."""
        now = time.time()
        self.next_change = {address: now + self.random.uniform(0, LONGEST_STAY) for address in self.next_change}

    def turn(self):
        now = time.time()
        for address, due in self.next_change.items():
            if due > now:
                continue
            self.change(address, 'closed' if address in self.now_open else BAD)
            self.next_change[address] = time.time() + self.random.uniform(SHORTEST_STAY, LONGEST_STAY)

    def change(self, address, personality):
        asked = time.time()
        fetch(f'http://127.0.0.1:{CONTROL}/personality?address={address}&port={PORT}&name={personality}', 'POST')
        self.changes += 1
        if personality == BAD:
            self.now_open[address] = Stay(address, asked)
            self.stays.append(self.now_open[address])
        else:
            self.now_open.pop(address).ended = asked


@dataclasses.dataclass
class Sample:
    at: float
    resident_kib: int
    descriptors: int
    probes: float


def sample(pid):
    status = pathlib.Path(f'/proc/{pid}/status').read_text(encoding='utf-8')
    probes = sum(float(value) for value in re.findall(r'^ajar_probes_total\{.*\} (\S+)$', fetch(f'http://127.0.0.1:{WEB}/metrics'), re.M))
    return Sample(time.time(), int(re.search(r'VmRSS:\s+(\d+)', status)[1]), len(os.listdir(f'/proc/{pid}/fd')), probes)


class Onlooker:
    """Reads the API each second as a person or a script would: when does it show that a case is open, and that it has ended?"""

    def __init__(self):
        self.open_since, self.gone_since = {}, {}
        self.next_look = 0.0

    def look(self):
        if time.time() < self.next_look:
            return
        self.next_look = time.time() + 1
        shown = {exposure['id'] for exposure in api('/api/v1/exposures?state=open')}
        now = time.time()
        for name in shown:
            self.open_since.setdefault(name, now)
        for name in self.open_since.keys() - shown:
            self.gone_since.setdefault(name, now)


class Report:
    def __init__(self):
        self.failures = 0

    def line(self, holds, what):
        self.failures += not holds
        print(f'{"holds " if holds else "FAILED"}  {what}', flush=True)


def judge_truth(report, world, exposures, onlooker, ended):
    """`ended`: nothing was changed after this. Each stay has its exposure, each exposure its stay."""
    left = {}
    for exposure in exposures:
        left.setdefault(exposure['address'], []).append((seconds_of(exposure['first_seen']), seconds_of(exposure['closed']), exposure))
    missed, wrong, opening, closing = [], [], [], []
    for stay in world.stays:
        until = stay.ended if stay.ended is not None else ended
        mine = [case for case in left.get(stay.address, []) if stay.begun <= case[0] <= until + INTERVAL]
        if len(mine) != 1:
            missed.append(f'{stay.address} was open from {stay.begun:.1f} to {until:.1f}: {len(mine)} exposures')
            continue
        _, closed, exposure = mine[0]
        left[stay.address].remove(mine[0])
        if stay.begun:
            opening.append(onlooker.open_since.get(exposure['id'], math.inf) - stay.begun)
        if (closed is None) != (stay.ended is None):
            wrong.append(f'{stay.address}: ended at {stay.ended}, its exposure at {closed}')
        elif closed is not None:
            closing.append(onlooker.gone_since.get(exposure['id'], math.inf) - stay.ended)
    invented = [case[2] for cases in left.values() for case in cases]
    report.line(not missed, f'truth: of {len(world.stays)} times open {len(missed)} have not one exposure {missed[:3]}')
    report.line(not invented, f'truth: {len(invented)} exposures were invented {[(e["address"], e["first_seen"]) for e in invented[:3]]}')
    report.line(not wrong, f'truth: {len(wrong)} exposures have another end {wrong[:3]}')
    for what, delays, bound in (('an opening', opening, INTERVAL + TOLERANCE), ('an end', closing, INTERVAL + RETRY + TOLERANCE)):
        if not delays:
            report.line(False, f'noticed: {what}: none happened')
            continue
        report.line(max(delays) <= bound and min(delays) >= 0,
                    f'noticed: {what} after {statistics.median(delays):.1f} s [{min(delays):.1f}-{max(delays):.1f}] '
                    f'of {len(delays)}, at most {bound} s')


def judge_samples(report, samples, warm_up, begun):
    later = [one for one in samples if one.at >= begun + warm_up]
    third = max(1, len(later) // 3)
    first, last = later[:third], later[-third:]
    before, after = (statistics.median(one.resident_kib for one in part) for part in (first, last))
    hours = (statistics.mean(one.at for one in last) - statistics.mean(one.at for one in first)) / 3600
    slope = (after - before) / 1024 / hours if hours else 0
    report.line(after <= before * (1 + MEMORY_GROWTH) + MEMORY_GROWTH_KIB,
                f'memory: {before / 1024:.1f} MiB after the warm-up, {after / 1024:.1f} MiB at the end ({slope:+.1f} MiB an hour)')
    # Those in use at a moment vary with the conversations; what leaks stays.
    least_before, least_after = (min(one.descriptors for one in part) for part in (first, last))
    report.line(least_after <= least_before + DESCRIPTORS_MORE,
                f'descriptors: at least {least_before} after the warm-up, {least_after} at the end')
    rate = (later[-1].probes - later[0].probes) / max(1.0, later[-1].at - later[0].at)
    print(f'        {rate:.0f} probes a second')


def soak(build, minutes, hosts, folder, log):
    random_numbers = random.Random(2004)
    report = Report()
    duration = minutes * 60
    warm_up = min(300.0, duration * 0.4)
    with program([build / 'ajar-lab', '--hosts', hosts, '--control', f'127.0.0.1:{CONTROL}', '--quiet'], log) as lab:
        wait_for('the lab', lambda: lab.poll() is None and fetch(f'http://127.0.0.1:{CONTROL}/'), 30)
        world = World(CHANGING, random_numbers)
        config = folder / 'ajar.toml'
        config.write_text(CONFIG.format(interval=INTERVAL, retry=RETRY, folder=folder, web=WEB) +
                          ''.join(TARGET.format(address=address, port=PORT) for address in world.addresses), encoding='utf-8')
        with program([build / 'ajar', 'run', '--config', config], log) as agent:
            wait_for('the agent', lambda: agent.poll() is None and fetch(f'http://127.0.0.1:{WEB}/-/ready'), 60)
            wait_for('a first round', lambda: sample(agent.pid).probes >= hosts, 60 + 3 * INTERVAL)
            print(f'{hosts} servers, {len(world.next_change)} of them changing; {minutes:g} minutes', flush=True)
            world.begin()
            begun, samples, next_sample, onlooker = time.time(), [], 0.0, Onlooker()
            while time.time() < begun + duration:
                world.turn()
                onlooker.look()
                if time.time() >= next_sample:
                    samples.append(sample(agent.pid))
                    next_sample = time.time() + 5
                for one in (agent, lab):
                    if one.poll() is not None:
                        sys.exit(f'soak: a program ended with {one.returncode}')
                time.sleep(0.2)
            for address in list(world.now_open):  # but for those that may not have been noticed yet
                if world.now_open[address].begun < time.time() - SHORTEST_STAY:
                    world.change(address, 'closed')
            ended = time.time()
            while time.time() < ended + INTERVAL + RETRY + TOLERANCE:
                onlooker.look()
                time.sleep(0.2)
            judge_truth(report, world, api('/api/v1/exposures'), onlooker, ended)
            judge_samples(report, samples, warm_up, begun)
            print(f'        {world.changes} changes')
        report.line(agent.returncode == 0, f'the agent ended with {agent.returncode}')
    return report.failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build', type=pathlib.Path)
    parser.add_argument('minutes', nargs='?', type=float, default=30)
    parser.add_argument('hosts', nargs='?', type=int, default=4000)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended on the way out
    with tempfile.TemporaryDirectory(prefix='ajar-soak-') as folder:
        path = pathlib.Path(folder) / 'log'
        with path.open('w', encoding='utf-8') as log:
            failures = 1
            try:
                failures = soak(options.build.resolve(), options.minutes, options.hosts, pathlib.Path(folder), log)
            finally:
                if failures:
                    print('the last lines of both programs:', *path.read_text(encoding='utf-8', errors='replace').splitlines()[-20:],
                          sep='\n    ', file=sys.stderr)
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
