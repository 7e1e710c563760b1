#!/usr/bin/env python3
"""bench.py [BUILD_FOLDER] [--quick] [--strict] [--only GROUP,…] [--readme]: what ajar costs, each figure beside its bound, as one table.

Writes BUILD_FOLDER/bench.json. A row that misses its bound, or could not be measured, says MISSED.

How it measures. A machine that is shared drifts by half within seconds, so the figure is CPU (user and system) of the client
alone, and a ratio is taken pair by pair: ajar and the other, one right after the other, in turns; the row shows the median, and the
least and the greatest in brackets. The client has a core, the fleet of servers another, where it does not sleep: to be woken would
cost its client, and the slower client more often. Everything is on 127.0.0.0/8.

Exit status. 0: everything was measured or said why not, whatever was missed: bounds are promises about a quiet machine, and whoever
runs this on a busy laptop wants the table, not a broken `make`. With --strict 1 when a row is missed: for whoever guards them. 2: wrong
usage.

    --quick        three pairs instead of five, and fewer hosts
    --only …       these groups alone; the other rows stay as bench.json has them
    --readme       measures nothing: writes bench.json's table into README.md
"""
import argparse
import contextlib
import dataclasses
import datetime
import gzip
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import sys
import tempfile
import time
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import peers  # noqa: E402
from processes import (ANY_CORE, CLIENT_CORE, FLEET_CORE, Daemon, Failed, Fleet, cpu_seconds_of, figures,  # noqa: E402
                       raise_descriptor_limit, run, wait_until)

KIB = 1024
IN_FLIGHT = 1000  # probes, while their CPU is measured
HELD = 10000  # probes in flight while their memory is measured
ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Bound:
    """A row of the table before it is measured. `limit` None: for information."""
    group: str
    key: str
    name: str
    unit: str = ''
    is_at: str = ''  # '<=' or '>='
    limit: float | None = None

    def met_by(self, value):
        if self.limit is None:
            return None
        if value is None:
            return False
        return value <= self.limit if self.is_at == '<=' else value >= self.limit

    def text(self):
        return '' if self.limit is None else f'{self.is_at} {number(self.limit)} {self.unit}'.rstrip()


ROWS = [
    Bound('engine', 'smtp_serial', 'SMTP probe, one command at a time: CPU by that of a plain C client', 'x', '<=', 1.25),
    Bound('engine', 'smtp_pipelined', 'SMTP probe, pipelined: the same', 'x', '<=', 1.5),
    Bound('engine', 'http_connect', 'CONNECT probe: the same', 'x', '<=', 1.5),
    Bound('engine', 'smtp_serial_core', '  core variants alone: SMTP, one command at a time', 'x'),
    Bound('engine', 'smtp_pipelined_core', '  core variants alone: SMTP, pipelined', 'x'),
    Bound('engine', 'http_connect_core', '  core variants alone: CONNECT', 'x'),
    Bound('engine', 'smtp_pipelined_us', 'SMTP probe, pipelined, all variants: CPU', 'us'),
    Bound('peers', 'nmap_smtp_serial', 'nmap smtp-open-relay: CPU of a host by ours, one command at a time', 'x', '>=', 3.5),
    Bound('peers', 'nmap_smtp', 'nmap smtp-open-relay: CPU of a host by ours, pipelined', 'x', '>=', 30),
    Bound('peers', 'blackbox_smtp_serial', 'blackbox_exporter, 20 variants: CPU by ours, one command at a time', 'x', '>=', 6),
    Bound('peers', 'blackbox_smtp', 'blackbox_exporter, 20 variants: CPU by ours, pipelined', 'x', '>=', 55),
    Bound('peers', 'nmap_http', 'nmap http-open-proxy: CPU of a host by our CONNECT probe', 'x', '>=', 9),
    Bound('peers', 'blackbox_connect', 'blackbox_exporter, CONNECT: CPU of a question by ours', 'x', '>=', 7),
    Bound('peers', 'hopm_http', 'hopm, HTTP: CPU of a question by ours', 'x'),
    Bound('peers', 'nmap_socks', 'nmap socks-open-proxy: CPU of a host by our SOCKS 5 probe', 'x'),
    Bound('peers', 'swaks', 'swaks, a variant a process: CPU of a variant by ours, pipelined', 'x'),
    Bound('wall', 'wall_serial', '4000 servers, some slow: wall time by the slowest one\'s own, serial', 'x', '<=', 1.1),
    Bound('wall', 'wall_pipelined', '4000 servers, some slow: the same, pipelined', 'x', '<=', 1.1),
    Bound('memory', 'memory_smtp', 'Memory of an SMTP probe in flight, of 10,000', 'B', '<=', KIB),
    Bound('memory', 'memory_http', 'Memory of a CONNECT probe in flight, of 10,000', 'B', '<=', KIB),
    Bound('memory', 'memory_tls', 'Memory of an SMTP probe in flight over TLS, of 10,000', 'B', '<=', 45 * KIB),
    Bound('exposition', 'exposition_cpu', 'A million samples: CPU of prometheus-cpp by ours', 'x', '>=', 40),
    Bound('exposition', 'exposition_memory', 'A million samples: extra memory while they are written', 'MiB', '<=', 4),
    Bound('exposition', 'exposition_packed_memory', 'A million samples: the same with gzip, beside the page', 'MiB', '<=', 4),
    Bound('exposition', 'exposition_delay', 'The loop\'s longest write: how much longer beside scrapes', 'ms', '<=', 10),
    Bound('scale', 'million_memory', 'A million endpoints: memory of the agent', 'MiB', '<=', 1024),
    Bound('scale', 'million_restart', 'A million known results: CPU of a restart until it has them', 's', '<=', 10),
    Bound('scale', 'bytes_per_result', 'Memory of an endpoint\'s check at rest', 'B', '<=', 150),
    Bound('loops', 'two_loops', 'Two loops: what they do by what one does, in CPU of the busiest thread', 'x', '>=', 1.8),
    Bound('idle', 'idle', 'Idle agent, 10,000 targets, scraped each 15 s: CPU of a core', '%', '<=', 1),
    Bound('idle', 'agent_probe', '  its first round: CPU of a probe in all variants, with all that is kept of it', 'us'),
    Bound('dnsbl', 'dnsbl_cpu', 'DNSBL questions: CPU by that of dnsperf', 'x', '<=', 2),
    Bound('dnsbl', 'dnsbl_lost', 'DNSBL questions lost, or answers wrong, in a round of 200,000', '', '<=', 0),
    Bound('dnsbl', 'dnsbl_pace', 'DNSBL questions a second by the budget', 'x', '<=', 1.1),
    Bound('dnsbl', 'dnsbl_memory', 'Memory of a DNSBL question in flight, of 10,000', 'B', '<=', 4 * KIB),
    Bound('dnsbl', 'dnsbl_entry', '  200,000 listings known: memory of each', 'B'),
    Bound('dnsbl', 'dnsbl_view', '  200,000 listings known: CPU of a view of them for readers', 'ms'),
    Bound('pages', 'pages', 'The slowest page at 100,000 targets: CPU', 'ms', '<=', 500),
    Bound('discovery', 'discovery', 'A list of 5,000 targets of which 2,000 change: the loop\'s longest hold', 'ms', '<=', 100),
]


def number(value):
    if value == int(value):
        return str(int(value))
    return f'{value:.0f}' if abs(value) >= 100 else f'{value:.1f}' if abs(value) >= 10 else f'{value:.2f}'


class Bench:
    """What the groups share: where the programs are, how thorough to be, a folder to write in, and what was measured."""

    def __init__(self, build, quick, folder):
        self.build, self.quick, self.folder = build, quick, folder
        self.pairs = 3 if quick else 5
        self.values = {}

    def put(self, key, values):
        assert any(row.key == key for row in ROWS), key
        self.values[key] = [values] if isinstance(values, (int, float)) else list(values)

    def program(self, name):
        path = self.build / name
        if not path.exists():
            raise Failed(f'{name} is not built')
        return path

    def hosts(self, usual):
        return usual // 4 if self.quick else usual

    def probe(self, check, mode, *words, statuses=(0,), timeout=300):
        return run([self.program('probe_bench'), check, mode, *words], statuses=statuses, timeout=timeout)[0]

    def ours(self, fleet, check, mode, hosts):
        """CPU of a probe in microseconds."""
        fleet.counts()
        found = figures(self.probe(check, mode, 'run', hosts, IN_FLIGHT, fleet.port))
        return found['cpu_us_per_host'][0]

    @staticmethod
    def connections(fleet, hosts):
        """Those of one probe in ours(), which warms up with the first."""
        return fleet.counts()['connections'] / (hosts + min(hosts, IN_FLIGHT))

    def in_turns(self, *measurements):
        """Runs them one after the other, every second time in the opposite order: a list of their results for each repetition."""
        rounds = []
        for i in range(self.pairs):
            order = list(enumerate(measurements))
            results = {at: measure() for at, measure in (order if i % 2 == 0 else order[::-1])}
            rounds.append([results[at] for at in range(len(measurements))])
        return rounds


def engine(bench):
    """The same bytes, said by ajar and by limit.c."""
    hosts = bench.hosts(3000)
    for key, check, kind in (('smtp_serial', 'smtp_relay', 'smtp'), ('smtp_pipelined', 'smtp_relay', 'smtp-pipelining'),
                             ('http_connect', 'http_connect', 'http')):
        with Fleet(bench.build, kind, 'poll') as fleet:
            for mode, row in (('full', key), ('core', f'{key}_core')):
                dialog = bench.folder / 'dialog'
                dialog.write_text(bench.probe(check, mode, 'dialog', fleet.port), encoding='utf-8')

                def plain():
                    text, _ = run([bench.program('limit'), kind.partition('-')[0], dialog, hosts, IN_FLIGHT, fleet.port])
                    return figures(text)['cpu_us_per_host'][0]
                rounds = bench.in_turns(lambda: bench.ours(fleet, check, mode, hosts), plain)
                bench.put(row, [own / other for own, other in rounds])
                if row == 'smtp_pipelined':
                    bench.put('smtp_pipelined_us', [own for own, _ in rounds])


def variants_asked(bench, fleet):
    """Recipients that one full SMTP probe names."""
    return bench.probe('smtp_relay', 'full', 'dialog', fleet.port).count('RCPT ')


def peers_at_mail(bench):
    hosts = bench.hosts(4000)
    with Fleet(bench.build, 'smtp', 'poll', port=22526) as serial, \
            Fleet(bench.build, 'smtp-pipelining', 'poll', port=22527) as pipelined:
        def ours():
            return (bench.ours(serial, 'smtp_relay', 'full', hosts), bench.ours(pipelined, 'smtp_relay', 'full', hosts))
        rounds = bench.in_turns(ours, lambda: peers.nmap(serial, bench.folder, 'smtp-open-relay', hosts, 2,
                                                         "Server doesn't seem to be an open relay"))
        bench.put('nmap_smtp_serial', [other / own[0] for own, other in rounds])
        bench.put('nmap_smtp', [other / own[1] for own, other in rounds])
        with peers.Blackbox(bench.folder) as blackbox:
            rounds = bench.in_turns(ours, lambda: blackbox.probe(serial, 'smtp', 4 if bench.quick else 10))
        bench.put('blackbox_smtp_serial', [other / own[0] for own, other in rounds])
        bench.put('blackbox_smtp', [other / own[1] for own, other in rounds])
        asked = variants_asked(bench, pipelined)
        rounds = bench.in_turns(lambda: ours()[1] / asked, lambda: peers.swaks(serial))
        bench.put('swaks', [other / own for own, other in rounds])


def peers_at_proxies(bench):
    hosts = bench.hosts(4000)
    with Fleet(bench.build, 'http', 'poll') as fleet:
        def ours():
            """CPU of a probe, and of one of its questions: each is a connection."""
            probe = bench.ours(fleet, 'http_connect', 'core', hosts)
            return probe, probe / bench.connections(fleet, hosts)
        rounds = bench.in_turns(ours, lambda: peers.nmap(fleet, bench.folder, 'http-open-proxy', hosts, 3))
        bench.put('nmap_http', [other / own[0] for own, other in rounds])
        with peers.Blackbox(bench.folder) as blackbox:
            rounds = bench.in_turns(ours, lambda: blackbox.probe(fleet, 'connect', 4 if bench.quick else 10))
        bench.put('blackbox_connect', [other / own[1] for own, other in rounds])


def peers_at_proxies_for_information(bench):
    hosts = bench.hosts(4000)
    with Fleet(bench.build, 'socks', 'poll') as fleet:
        rounds = bench.in_turns(lambda: bench.ours(fleet, 'socks5', 'core', hosts),
                                lambda: peers.nmap(fleet, bench.folder, 'socks-open-proxy', hosts, 2))
        bench.put('nmap_socks', [other / own for own, other in rounds])
    with Fleet(bench.build, 'http', 'poll') as fleet:
        def ours():
            probe = bench.ours(fleet, 'http_connect', 'core', hosts)
            return probe / bench.connections(fleet, hosts)
        rounds = bench.in_turns(ours, lambda: peers.hopm(fleet, bench.folder, hosts))
        bench.put('hopm_http', [other / own for own, other in rounds])


def wall(bench):
    """A sweep is over when the slowest server has had its say."""
    hosts = 4000
    for key, kind in (('wall_serial', 'smtp'), ('wall_pipelined', 'smtp-pipelining')):
        ratios = []
        with Fleet(bench.build, kind, 'mix') as fleet:
            for _ in range(bench.pairs):
                fleet.counts()
                found = figures(bench.probe('smtp_relay', 'full', 'once', hosts, hosts, fleet.port, statuses=(1,)))
                if not 0.005 * hosts < found['accepted'][0] < 0.02 * hosts or found['closed'][0] < 0.94 * hosts:
                    raise Failed(f'of {hosts} servers {found["accepted"][0]:.0f} said yes and {found["closed"][0]:.0f} no')
                ratios.append(found['wall_s'][0] / fleet.counts()['slowest_s'])
        bench.put(key, ratios)


def memory(bench):
    for key, check, kind, options in (('memory_smtp', 'smtp_relay', 'smtp', ['hold']),
                                      ('memory_http', 'http_connect', 'http', ['hold']),
                                      ('memory_tls', 'smtp_relay/tls', 'smtp', ['hold', 'tls'])):
        values = []
        for _ in range(1 if bench.quick else 3):
            with Fleet(bench.build, kind, *options) as fleet:
                values += figures(bench.probe(check, 'core', 'hold', HELD, fleet.port))['bytes_per_probe']
        bench.put(key, values)


def exposition(bench):
    found = figures(run([bench.program('exposition_bench'), 1_000_000], core=ANY_CORE, timeout=900)[0])
    bench.put('exposition_cpu', found['prometheus_cpp_by_ours'])
    bench.put('exposition_memory', found['extra_mib'])
    bench.put('exposition_packed_memory', found['packed_extra_mib'])
    bench.put('exposition_delay', found['flush_beside_ms'][0] - found['flush_alone_ms'][0])


def lines_of(bench, name, *words, wanted, statuses=(0,)):
    """What a program prints, for the rows: `wanted` has a pattern for each, whose group is the figure."""
    text, _ = run([bench.program(name), *words], core=ANY_CORE, timeout=1800, statuses=statuses)
    for key, pattern in wanted.items():
        found = [float(figure) for figure in re.findall(pattern, text)]
        if not found:
            raise Failed(f'{name} printed nothing like "{pattern}"')
        bench.put(key, found)
    return text


MILLION = '127.16.0.0/12'  # 1,048,576 addresses of loopback, on which nobody listens at this port
NOBODYS_PORT = 22599


def scale_in_memory(bench):
    text = lines_of(bench, 'sweep_bench', MILLION, NOBODYS_PORT, wanted={'million_memory': r'\brss_mib ([\d.]+)'})
    if figures(text)['endpoints'][0] < 1_000_000:
        raise Failed('sweep_bench swept fewer than a million endpoints')


def scale_at_rest(bench):
    # It fails by itself when a bound of its own is missed; the figures stand all the same.
    lines_of(bench, 'ledger_bench', 1_000_000, statuses=(0, 1), wanted={
        'million_restart': r'(?m)^start: ([\d.]+) s', 'bytes_per_result': r'(?m)^load: .* ([\d.]+) bytes a result'})


def loops(bench):
    """What a loop can do is bounded by its thread's CPU: the fleet needs the same two cores, so the wall clock says nothing."""
    hosts = bench.hosts(8000)
    with Fleet(bench.build, 'smtp-pipelining') as fleet:
        def busiest(threads):
            text, _ = run([bench.program('probe_bench'), 'smtp_relay', 'full', 'threads', threads, hosts, 1000, fleet.port],
                          core=ANY_CORE)
            return figures(text)['busiest_cpu_s'][0]
        rounds = bench.in_turns(lambda: busiest(1), lambda: busiest(2))
    bench.put('two_loops', [one / two for one, two in rounds])


IDLE_TARGETS = 10_000
IDLE_CONFIG = """scope = ["127.0.0.0/8"]
[agent]
name = "probe.canary.test"
contact = "mailto:postmaster@canary.test"
source_addresses = ["127.66.0.1"]
interval = "24h"
full_matrix_interval = "7d"
retry_interval = "24h"
connections_per_second = 2000
connections_per_second_per_network = 0
state = "{folder}/ajar.db"
[web]
listen = ["127.0.0.1:{web}"]
[canary]
listen_tcp = ["127.9.8.7:8025"]
advertise_tcp = ["127.9.8.7:8025"]
listen_smtp = ["127.9.8.7:2525"]
advertise_smtp = ["127.9.8.7:2525"]
mail_domain = "canary.test"
host = "canary.test"
secret_file = "{folder}/canary.secret"
[dnsbl]
zones = []
"""
IDLE_TARGET = """[[target]]
name = "mx{i}"
address = "{address}"
mail_domains = ["fleet.test"]
checks = ["smtp_relay"]
ports.smtp_relay = [{port}]
owner = "team{owner}"
"""


def scrape(port):
    request = urllib.request.Request(f'http://127.0.0.1:{port}/metrics', headers={
        'Accept': 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5', 'Accept-Encoding': 'gzip'})
    with urllib.request.urlopen(request, timeout=30) as answer:
        body = answer.read()
        return gzip.decompress(body).decode() if answer.headers.get('Content-Encoding') == 'gzip' else body.decode()


def closed_of(port):
    try:
        found = re.search(r'^ajar_results\{check="smtp_relay",verdict="closed"\} (\d+)', scrape(port), re.M)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def idle(bench):
    """The first round is over, the next is a day away; Prometheus comes each 15 seconds."""
    seconds, web = (30 if bench.quick else 60), 29925
    folder = bench.folder / 'idle'
    folder.mkdir()
    with Fleet(bench.build, 'smtp-pipelining', port=22526) as fleet:
        config = folder / 'ajar.toml'
        config.write_text(IDLE_CONFIG.format(folder=folder, web=web) + ''.join(
            IDLE_TARGET.format(i=i, address=address, port=fleet.port, owner=i % 50)
            for i, address in enumerate(peers.addresses(IDLE_TARGETS))), encoding='utf-8')
        with (folder / 'log').open('w') as log, Daemon([bench.program('ajar'), 'run', '--config', config], CLIENT_CORE,
                                                       log=log) as agent:
            wait_until('the first round is over', lambda: agent.must_run() and closed_of(web) == IDLE_TARGETS, 180, pause=2)
            bench.put('agent_probe', cpu_seconds_of(agent.pid) * 1e6 / IDLE_TARGETS)
            time.sleep(5)  # what follows a round is over too
            before, begun, scrapes = cpu_seconds_of(agent.pid), time.monotonic(), 0
            while time.monotonic() < begun + seconds:
                time.sleep(max(0, begun + scrapes * 15 - time.monotonic()))
                scrapes += 1
                if closed_of(web) != IDLE_TARGETS:
                    raise Failed('the agent lost results while it was idle')
                time.sleep(max(0, min(begun + scrapes * 15, begun + seconds) - time.monotonic()))
            used, took = cpu_seconds_of(agent.pid) - before, time.monotonic() - begun
            if fleet.counts()['connections'] < IDLE_TARGETS:
                raise Failed('the agent did not ask every target')
    bench.put('idle', used / took * 100)


DNSBL_RATE, DNSBL_ZONES, DNSBL_IN_FLIGHT_OF_A_ZONE = 500, 20, 64


@contextlib.contextmanager
def rbldnsd(bench, addresses):
    folder = bench.folder / f'zones{addresses}'
    folder.mkdir()
    bench.folder.chmod(0o755)  # rbldnsd gives up root's rights
    folder.chmod(0o755)
    (folder / 'zone').write_text(run([bench.program('dnsbl_bench'), 'zone', addresses])[0], encoding='ascii')
    port = 23053
    names = [f'bl{i}.test:ip4set:zone' for i in range(DNSBL_ZONES)]
    log = folder / 'log'
    with log.open('w') as output, Daemon(['rbldnsd', '-n', '-4', '-b', f'127.0.0.1/{port}', '-w', folder, *names], FLEET_CORE,
                                         {'PATH': os.environ.get('PATH', '') + ':/usr/sbin'}, output) as server:
        wait_until('rbldnsd listens', lambda: server.must_run() and ' started ' in log.read_text(encoding='utf-8'), 10)
        yield port


def dnsbl(bench):
    """Databases asked of a local rbldnsd through ajar's own book, resolver and loop, and the same questions by dnsperf, which does
    nothing with the answers, at the same pace."""
    program, pace = bench.program('dnsbl_bench'), DNSBL_RATE * DNSBL_ZONES
    shown = figures(run([program, 'show', 10_000, DNSBL_ZONES], timeout=300)[0])
    bench.put('dnsbl_entry', shown['bytes_per_entry'])
    bench.put('dnsbl_view', shown['view_ms'])
    bench.put('dnsbl_memory', figures(run([program, 'hold', HELD], timeout=120)[0])['bytes_per_question'])

    def ask(addresses, port):
        return {name: values[0] for name, values in
                figures(run([program, 'run', addresses, DNSBL_ZONES, DNSBL_RATE, port], statuses=(0, 1))[0]).items()}
    with rbldnsd(bench, 10_000) as port:
        round_ = ask(10_000, port)
        bench.put('dnsbl_lost', round_['lost'] + round_['wrong'])
        bench.put('dnsbl_pace', round_['known'] / round_['wall_s'] / pace)
    addresses = bench.hosts(6000)
    names = bench.folder / 'names'
    names.write_text(run([program, 'names', addresses, DNSBL_ZONES])[0], encoding='ascii')
    with rbldnsd(bench, addresses) as port:
        def perf():
            text, cpu = run(['dnsperf', '-s', '127.0.0.1', '-p', port, '-d', names, '-n', 1, '-c', 1, '-T', 1, '-e', '-q',
                             DNSBL_IN_FLIGHT_OF_A_ZONE * DNSBL_ZONES, '-Q', pace, '-t', 5])
            return cpu / int(re.search(r'Queries sent:\s+(\d+)', text)[1])
        rounds = bench.in_turns(lambda: ask(addresses, port)['cpu_us_per_query'], perf)
    bench.put('dnsbl_cpu', [own / other for own, other in rounds])


def pages(bench):
    lines_of(bench, 'pages_bench', 100_000, wanted={'pages': r'slowest_page_ms ([\d.]+)'})


def discovery(bench):
    found = []
    for _ in range(bench.pairs):
        found += figures(run([bench.program('discovery_bench')], timeout=300)[0])['longest_hold_ms']
    bench.put('discovery', found)


GROUPS = {
    'engine': [engine],
    'peers': [peers_at_mail, peers_at_proxies, peers_at_proxies_for_information],
    'wall': [wall],
    'memory': [memory],
    'exposition': [exposition],
    'scale': [scale_in_memory, scale_at_rest],
    'loops': [loops],
    'idle': [idle],
    'dnsbl': [dnsbl],
    'pages': [pages],
    'discovery': [discovery],
}


def machine():
    model = re.search(r'^model name\s*: (.+)$', pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8'), re.M)
    return {'cpu': model[1] if model else platform.machine(), 'cores': os.cpu_count(), 'kernel': platform.release(),
            'load': round(os.getloadavg()[0], 2)}


def row_of(bound, values, why, when):
    value = statistics.median(values) if values else None
    return {'key': bound.key, 'group': bound.group, 'name': bound.name, 'bound': bound.text(), 'value': value,
            'min': min(values) if values else None, 'max': max(values) if values else None, 'pairs': len(values or []),
            'unit': bound.unit, 'met': bound.met_by(value), 'note': why, 'date': when}


def measure(bench, group):
    """{key: row} of a group. What cannot be measured says why; the rest goes on."""
    why = []
    begun = time.monotonic()
    for step in GROUPS[group]:
        try:
            step(bench)
        except (Failed, OSError, KeyError, ValueError, TypeError) as error:
            why.append(f'{step.__name__}: {error if isinstance(error, (Failed, OSError)) else repr(error)}')
    print(f'{group}: {time.monotonic() - begun:.0f} s', *why, sep='\n    ', file=sys.stderr, flush=True)
    rows = {}
    for bound in ROWS:
        if bound.group == group:
            values = bench.values.get(bound.key)
            rows[bound.key] = row_of(bound, values, '' if values else '; '.join(why), datetime.date.today().isoformat())
    return rows


def cells(row):
    figure = 'not run'
    if row['value'] is not None:
        figure = f'{number(row["value"])} {row["unit"]}'.rstrip()
        if row['pairs'] > 1:
            figure += f' [{number(row["min"])}-{number(row["max"])}]'
    verdict = {True: 'met', False: 'MISSED', None: ''}[row['met']]
    return row['name'], row['bound'], figure, str(row['pairs'] or ''), verdict


HEADERS = ('what', 'bound', 'median [least-greatest]', 'runs', '')


def print_table(rows):
    table = [HEADERS, *(cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADERS))]
    for line in table:
        print('  '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    bounded = [row for row in rows if row['met'] is not None]
    print(f'{sum(row["met"] for row in bounded)} of {len(bounded)} bounds are met')


BEGIN, END = '<!-- The table is written by tests/bench/bench.py --readme. -->\n', '<!-- End of the measured table. -->\n'


def write_readme(measured):
    rows, where = measured['rows'], measured['machine']
    dates = sorted({row['date'] for row in rows})
    dates = ' to '.join(dict.fromkeys((dates[0], dates[-1])))
    lines = [f'{dates}, {where["cpu"]}, {where["cores"]} cores, Linux {where["kernel"]}; load average before it began: {where["load"]}\n',
             '\n', '| what | bound | measured: median [least-greatest] | runs | |\n', '|---|---|---|---|---|\n']
    for row in rows:
        lines.append('| ' + ' | '.join(cell.strip() for cell in cells(row)) + ' |\n')
    readme = ROOT / 'README.md'
    before, _, rest = readme.read_text(encoding='utf-8').partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f'README.md has no line {BEGIN.strip()} before {END.strip()}')
    readme.write_text(before + BEGIN + '\n' + ''.join(lines) + '\n' + END + after, encoding='utf-8')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build', nargs='?', default=ROOT / 'build/release', type=pathlib.Path)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--strict', action='store_true')
    parser.add_argument('--only', default=','.join(GROUPS))
    parser.add_argument('--readme', action='store_true')
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended on the way out
    kept = options.build / 'bench.json'
    if options.readme:
        write_readme(json.loads(kept.read_text(encoding='utf-8')))
        return 0
    groups = options.only.split(',')
    if not options.build.is_dir() or not set(groups) <= set(GROUPS):
        parser.error(f'no such build folder, or no such group; the groups are {" ".join(GROUPS)}')
    if raise_descriptor_limit() < HELD + 500:
        print(f'Fewer than {HELD + 500} descriptors are allowed here: what needs {HELD} probes in flight will fail.', file=sys.stderr)
    earlier = json.loads(kept.read_text(encoding='utf-8'))['rows'] if kept.exists() and set(groups) != set(GROUPS) else []
    rows = {row['key']: row for row in earlier}
    where = machine()
    with tempfile.TemporaryDirectory(prefix='ajar-bench-') as folder:
        bench = Bench(options.build.resolve(), options.quick, pathlib.Path(folder))
        for group in groups:  # whoever breaks off keeps what is done
            rows.update(measure(bench, group))
            ordered = [rows[bound.key] for bound in ROWS if bound.key in rows]
            kept.write_text(json.dumps({'machine': where, 'quick': options.quick, 'rows': ordered}, indent=1) + '\n', encoding='utf-8')
    print_table(ordered)
    return 1 if options.strict and any(row['met'] is False for row in ordered) else 0


if __name__ == '__main__':
    sys.exit(main())
