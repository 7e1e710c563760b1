#!/usr/bin/env python3
"""make.py BUILD_FOLDER [MINUTES]: dashboards/screenshots/*.png, the dashboards' own JSON with true data, drawn by Grafana's own components.

An agent asks servers of the lab for some minutes (8) while their doors open and close; a real Prometheus scrapes it; then draw.mjs draws each
dashboard from that Prometheus in a headless Chromium. No Grafana server takes part. Needs npm and its registry (600 MB, once, into
build/pictures), prometheus and chromium. Everything runs on loopback; nothing is left running."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / 'dashboards/pictures'
WORK = ROOT / 'build/pictures'
PICTURES = ROOT / 'dashboards/screenshots'
# Seconds: npm with everything to fetch, a server's start, all pictures.
FETCH, START, DRAW = 900, 60, 300
SCRAPE = 5

# A small company: what each server is, in the words of `ajar-lab --list`, and whose.
SERVERS = [
    ('mx1', 'closed', 'mail-team'),
    ('mx2', 'closed_454', 'mail-team'),
    ('mx3', 'open', 'mail-team'),
    ('newsletter', 'accept_and_discard', 'web-team'),
    ('shop-mail', 'exim_like', 'web-team'),
    ('submission', 'submission_auth', 'mail-team'),
    ('partner-mx', 'blocks_us', 'web-team'),
    ('proxy1', 'proxy_closed', 'network-team'),
    ('proxy2', 'proxy_auth', 'network-team'),
    ('old-proxy', 'proxy_get_only', ''),
    ('socks', 'socks_closed', 'network-team'),
    ('test-relay', 'open_forged_local', 'mail-team'),
]
# When, as a share of the time, which server becomes what.
STORY = [(0.25, 'mx1', 'open'), (0.35, 'proxy2', 'proxy_open'), (0.6, 'mx1', 'closed'), (0.7, 'shop-mail', 'hang')]
DASHBOARDS = [('ajar-overview', {}), ('ajar-detail', {}), ('ajar-target', {'target': 'mx1'}), ('ajar-agent', {})]
AGENT = """
scope = ["127.0.0.0/8"]
[agent]
name = "probe.example.net"
contact = "mailto:sre@example.net"
vantage = "outside"
source_addresses = ["127.66.0.1"]
interval = "30s"
retry_interval = "5s"
connect_timeout = "2s"
reply_timeout = "3s"
probe_timeout = "30s"
state = "ajar.db"
[web]
listen = ["{web}"]
[canary]
listen_tcp = ["127.9.9.9:8025", "127.9.9.9:8443"]
listen_smtp = ["127.9.9.9:2525"]
advertise_tcp = ["127.9.9.9:8025", "127.9.9.9:8443"]
advertise_smtp = ["127.9.9.9:2525"]
host = "canary.test"
mail_domain = "canary.test"
secret_file = "canary.secret"
delivery_timeout = "20s"
message_interval = "30s"
[[exemption]]
target = "test-relay"
check = "smtp_relay"
until = 2099-12-31
who = "the mail team"
why = "a relay for tests"
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def get(url, method='GET'):
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
        return answer.read()


def answers(url):
    try:
        get(url)
        return True
    except OSError:
        return False


# Until the end of the block; what it says goes into a file.
@contextlib.contextmanager
def running(folder, name, argv, ready):
    with open(folder / f'{name}.log', 'wb') as log:
        process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log)
    try:
        end = time.monotonic() + START
        while not answers(ready):
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f'{name} does not start:\n' + (folder / f'{name}.log').read_text()[-2000:])
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def places(lab):
    listed = subprocess.run([lab, '--list'], capture_output=True, text=True, check=True, timeout=30).stdout
    found = {place['personality']: place for place in map(json.loads, listed.splitlines())}
    return {name: found[personality] for name, personality, _ in SERVERS}


def agent_config(where, web):
    text = AGENT.replace('{web}', web)
    for name, _, owner in SERVERS:
        place = where[name]
        port = f"{place['port']}/tls" if place['tls'] == 'implicit' else place['port']
        text += f'[[target]]\nname = "{name}"\naddress = "{place["address"]}"\nchecks = {json.dumps(list(place["expect"]))}\n'
        text += ''.join(f'ports.{check} = [{json.dumps(port)}]\n' for check in place['expect'])
        text += f'owner = "{owner}"\n' if owner else ''
    return text


# As dashboards/provisioning has it, but quicker, and with nobody to tell.
def prometheus_config(folder, web):
    shutil.copytree(ROOT / 'dashboards/provisioning/prometheus', folder, dirs_exist_ok=True)
    text = (folder / 'prometheus.yml').read_text()
    for before, after in (('scrape_interval: 30s', f'scrape_interval: {SCRAPE}s'), ('scrape_timeout: 10s', f'scrape_timeout: {SCRAPE}s'),
                          ('evaluation_interval: 1m', f'evaluation_interval: {SCRAPE}s')):
        assert before in text, before
        text = text.replace(before, after)
    (folder / 'prometheus.yml').write_text(text[:text.index('alerting:')] + text[text.index('scrape_configs:'):])
    (folder / 'rules').mkdir()
    shutil.copy(ROOT / 'dashboards/alerts/ajar.rules.yml', folder / 'rules')
    # Its name stays the same, whatever port was free.
    (folder / 'targets/ajar.json').write_text(json.dumps([{'targets': [web], 'labels': {'agent': 'probe:9925'}}]))


def live_through(seconds, where, control):
    begin = time.monotonic()
    for share, name, personality in STORY + [(1, None, None)]:
        time.sleep(max(0, begin + share * seconds - time.monotonic()))
        if name:
            address, port = where[name]['address'], where[name]['port']
            get(f'http://{control}/personality?address={address}&port={port}&name={personality}', 'POST')
            print(f'{name} is now {personality}', flush=True)


def fetch():
    WORK.mkdir(parents=True, exist_ok=True)
    for source in HERE.iterdir():
        shutil.copy(source, WORK)
    lock = (HERE / 'package-lock.json').read_bytes()
    if (WORK / 'fetched').exists() and (WORK / 'fetched').read_bytes() == lock:
        return
    if not (shutil.which('npm') and shutil.which('node')):
        sys.exit('npm is not installed (Node.js 20 or later): what draws the pictures cannot be fetched')
    print('Fetching what draws, about 600 MB…', flush=True)
    subprocess.run(['npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'], cwd=WORK, check=True, timeout=FETCH)
    (WORK / 'fetched').write_bytes(lock)


def draw(prometheus, minutes):
    chromium = shutil.which('chromium') or shutil.which('google-chrome')
    jobs = [{'dashboard': str(ROOT / f'dashboards/grafana/{name}.json'), 'picture': str(PICTURES / f'{name}.png'), 'from': f'{minutes}m', 'chosen': chosen}
            for name, chosen in DASHBOARDS]
    subprocess.run(['node', 'draw.mjs', chromium, prometheus, json.dumps(jobs)], cwd=WORK, check=True, timeout=DRAW)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    minutes = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    fetch()
    where = places(build / 'ajar-lab')
    control, web, prometheus = (f'127.0.0.1:{free_port()}' for _ in range(3))
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        folder = pathlib.Path(place)
        (folder / 'ajar.toml').write_text(agent_config(where, web))
        prometheus_config(folder, web)
        stack.enter_context(running(folder, 'lab', [build / 'ajar-lab', '--quiet', '--control', control], f'http://{control}/'))
        stack.enter_context(running(folder, 'agent', [build / 'ajar', 'run', '--config', 'ajar.toml'], f'http://{web}/-/ready'))
        stack.enter_context(running(
            folder, 'prometheus', ['prometheus', '--config.file=prometheus.yml', '--storage.tsdb.path=data', '--enable-feature=exemplar-storage',
                                   '--storage.tsdb.retention.time=400d', f'--web.listen-address={prometheus}'], f'http://{prometheus}/-/ready'))
        live_through(60 * minutes, where, control)
        draw(f'http://{prometheus}', minutes)
    for picture in sorted(PICTURES.glob('ajar-*.png')):
        print(f'{picture.relative_to(ROOT)}: {os.path.getsize(picture) // 1024} KB')
    return 0


if __name__ == '__main__':
    sys.exit(main())
