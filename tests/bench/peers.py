"""Other people's programs, asking the fleet what ajar asks it. Each function runs one once, over so many hosts, and returns the CPU
that a host cost in microseconds, having made sure that the program did ask: by its own words, and by what the fleet counted."""
import contextlib
import os
import re
import select
import socket
import time

from processes import CLIENT_CORE, FLEET_CORE, Daemon, Failed, cpu_seconds_of, run, wait_until

NMAP = ('nmap -n -Pn -sT -T5 --min-hostgroup 4096 --min-parallelism 512 --max-parallelism 2000 --max-retries 0 '
        '--host-timeout 0').split()
BLACKBOX_PORT = 29115
BLACKBOX_IN_FLIGHT = 128
VARIANTS = 20  # asked by blackbox_exporter in one connection
SWAKS_RUNS = 40


def addresses(count):
    return [f'127.{10 + (i >> 16)}.{(i >> 8) & 255}.{i & 255}' for i in range(count)]


def must_have_asked(fleet, hosts, of_each, what):
    """`of_each`: connections that each host must have seen at least."""
    seen = fleet.counts()
    if seen['connections'] < hosts * of_each:
        raise Failed(f'{what} asked {seen["connections"]:.0f} times, not {hosts * of_each}')
    return seen


def nmap(fleet, folder, script, hosts, of_each, says=None):
    """`says`: what nmap prints of each host."""
    targets = folder / 'targets'
    targets.write_text('\n'.join(addresses(hosts)) + '\n', encoding='ascii')
    fleet.counts()
    # "+": the script runs whatever the port is.
    text, cpu = run([*NMAP, '-p', fleet.port, '--script', f'+{script}', '-iL', targets], timeout=900)
    if says and text.count(says) < hosts:
        raise Failed(f'nmap said "{says}" of {text.count(says)} hosts, not {hosts}')
    if text.count('/tcp open') < hosts:
        raise Failed(f'nmap saw {text.count("/tcp open")} open ports, not {hosts}')
    must_have_asked(fleet, hosts, of_each, 'nmap')
    return cpu / hosts


BLACKBOX_CONFIG = """modules:
  smtp:
    prober: tcp
    timeout: 30s
    tcp:
      query_response:
        - expect: "^220 "
        - send: "EHLO probe.canary.test"
        - expect: "^250 "
{variants}        - send: "QUIT"
        - expect: "^221 "
  connect:
    prober: tcp
    timeout: 30s
    tcp:
      query_response:
        - send: "CONNECT 198.51.100.7:8025 HTTP/1.1\\r\\nHost: 198.51.100.7:8025\\r\\n\\r"
        - expect: "^HTTP/1.1 403 "
"""
BLACKBOX_VARIANT = """        - send: "MAIL FROM:<sender{i}@canary.test>"
        - expect: "^250 "
        - send: "RCPT TO:<token{i}@canary.test>"
        - expect: "^554 "
        - send: "RSET"
        - expect: "^250 "
"""
WRK_SCRIPT = """
local i, module, port = 0, "%s", %d
proved = 0
function setup(thread) the_thread = thread end
function request()
  i = i + 1
  return wrk.format("GET", string.format("/probe?module=%%s&target=127.10.%%d.%%d:%%d", module, math.floor(i / 256) %% 16, i %% 256, port))
end
function response(status, headers, body)
  if body:find("\\nprobe_success 1", 1, true) then proved = proved + 1 end
end
function done() io.write(string.format("proved %%d\\n", the_thread:get("proved"))) end
"""


class Blackbox:
    """prometheus-blackbox-exporter on the client's core, with one thread of Go; wrk asks it from the fleet's core."""

    def __init__(self, folder):
        self.folder = folder
        config = folder / 'blackbox.yml'
        config.write_text(BLACKBOX_CONFIG.format(variants=''.join(BLACKBOX_VARIANT.format(i=i) for i in range(VARIANTS))),
                          encoding='ascii')
        self.daemon = Daemon(['prometheus-blackbox-exporter', f'--config.file={config}', '--log.level=error',
                              f'--web.listen-address=127.0.0.1:{BLACKBOX_PORT}'], CLIENT_CORE, {'GOMAXPROCS': '1'})

    def __enter__(self):
        try:
            wait_until('prometheus-blackbox-exporter listens', self.listens, 10)
        except Failed:
            with contextlib.suppress(Failed):
                self.daemon.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.daemon.__exit__()

    def listens(self):
        self.daemon.must_run()
        with socket.socket() as probe:
            return probe.connect_ex(('127.0.0.1', BLACKBOX_PORT)) == 0

    def probe(self, fleet, module, seconds):
        script = self.folder / 'wrk.lua'
        script.write_text(WRK_SCRIPT % (module, fleet.port), encoding='ascii')
        fleet.counts()
        before = cpu_seconds_of(self.daemon.pid)
        text, _ = run(['wrk', '-t', 1, '-c', BLACKBOX_IN_FLIGHT, '-d', f'{seconds}s', '-s', script, '--timeout', '30s',
                       f'http://127.0.0.1:{BLACKBOX_PORT}'], core=FLEET_CORE)
        cpu = (cpu_seconds_of(self.daemon.pid) - before) * 1e6
        proved = re.search(r'^proved (\d+)', text, re.M)
        asked = re.search(r'(\d+) requests in', text)
        if not proved or not asked or int(proved[1]) < 100 or int(proved[1]) < int(asked[1]) * 0.99:
            raise Failed(f'blackbox_exporter got its answer in {proved and proved[1]} of {asked and asked[1]} probes')
        # What wrk left behind when its time was over was asked too: the fleet's number is the whole one.
        return cpu / must_have_asked(fleet, int(proved[1]), 1, 'blackbox_exporter')['connections']


def swaks(fleet):
    """One variant a process."""
    fleet.counts()
    total = 0
    for address in addresses(SWAKS_RUNS):
        _, cpu = run(['swaks', '--server', address, '--port', fleet.port, '--helo', 'probe.canary.test', '--from',
                      'a@canary.test', '--to', 'b@canary.test', '--quit-after', 'RCPT'], statuses=(24,))
        total += cpu
    must_have_asked(fleet, SWAKS_RUNS, 1, 'swaks')
    return total / SWAKS_RUNS


HOPM_CONFIG = """options {{ pidfile = "{folder}/hopm.pid"; negcache = 0; }};
irc {{
  nick = "hopm"; realname = "hopm"; username = "hopm"; server = "127.0.0.1"; port = {irc}; readtimeout = 15 minutes;
  connregex = "\\\\*\\\\*\\\\* Notice -- Client connecting: ([^ ]+) \\\\(([^@]+)@([^\\\\)]+)\\\\) \\\\[([0-9a-f\\\\.:]+)\\\\].*";
  kline = "KLINE %i";
  channel {{ name = "#hopm"; }};
}};
scanner {{
  name = "default"; protocol = HTTP:{port}; fd = 2000; max_read = 4 kbytes; timeout = 3 seconds;
  target_ip = "198.51.100.7"; target_port = 8025; target_string = "a line that no server here says";
}};
user {{ mask = "*!*@*"; scanner = "default"; }};
"""


def hopm(fleet, folder, hosts):
    """The Hybrid Open Proxy Monitor hears of clients from an IRC server, which is played here, and asks each by CONNECT."""
    with socket.create_server(('127.0.0.1', 0)) as irc:
        config = folder / 'hopm.conf'
        config.write_text(HOPM_CONFIG.format(folder=folder, irc=irc.getsockname()[1], port=fleet.port), encoding='ascii')
        fleet.counts()
        # hopm adds /etc/hopm/ and .conf to what it is told.
        with Daemon(['hopm', '-d', '-c', os.path.relpath(config.with_suffix(''), '/etc/hopm')], CLIENT_CORE) as bot:
            irc.settimeout(20)
            try:
                peer, _ = irc.accept()
            except TimeoutError:
                raise Failed('hopm did not come to its IRC server') from None
            with peer:
                peer.sendall(b':irc.test 001 hopm :Welcome\r\n')
                seen = 0
                for first in range(0, hosts, 1000):
                    for address in addresses(hosts)[first:first + 1000]:
                        peer.sendall(f':irc.test NOTICE hopm :*** Notice -- Client connecting: a (b@{address}) [{address}] {{c}}\r\n'
                                     .encode('ascii'))
                    until = time.monotonic() + 30
                    while seen < min(first + 1000, hosts) and time.monotonic() < until:
                        select.select([peer], [], [], 0.2)
                        peer.setblocking(False)
                        try:
                            peer.recv(65536)
                        except BlockingIOError:
                            pass
                        peer.setblocking(True)
                        seen += fleet.counts()['connections']
                time.sleep(4)  # the last ones are timed out by hopm
                seen += fleet.counts()['connections']
                cpu = cpu_seconds_of(bot.pid) * 1e6
            if seen < hosts:
                raise Failed(f'hopm asked {seen:.0f} of {hosts} hosts')
    return cpu / hosts
