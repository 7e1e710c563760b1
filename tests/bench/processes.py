"""Programs that the benchmark runs: the client under measurement on one core, the fleet of servers on another."""
import contextlib
import os
import re
import resource
import signal
import subprocess
import tempfile
import time

ALLOWED_CORES = sorted(os.sched_getaffinity(0))
CLIENT_CORE = ALLOWED_CORES[0]
FLEET_CORE = ALLOWED_CORES[min(1, len(ALLOWED_CORES) - 1)]
ANY_CORE = None


class Failed(Exception):
    """A measurement could not be taken; the text says why."""


def raise_descriptor_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def pinned(core, command):
    return command if core is ANY_CORE else ['taskset', '-c', str(core), *command]


def bound_to_us(command):
    """Ends with this process, however that ends."""
    return ['setpriv', '--pdeathsig', 'TERM', *command]


def figures(text):
    """All "name value" pairs in what a program printed: {name: [value, …]}. A name that comes again adds a value."""
    found = {}
    for name, value in re.findall(r'\b([A-Za-z]\w*) (-?\d+(?:\.\d+)?)(?!\S)', text):
        found.setdefault(name, []).append(float(value))
    return found


def run(command, core=CLIENT_CORE, timeout=600, statuses=(0,)):
    """Runs it to its end. Returns (what it wrote to stdout, its CPU in microseconds: user and system, its children's too)."""
    with tempfile.TemporaryFile('w+') as errors:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            ran = subprocess.run(pinned(core, [str(word) for word in command]), stdout=subprocess.PIPE, stderr=errors,
                                 stdin=subprocess.DEVNULL, text=True, errors='replace', timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f'{os.path.basename(command[0])} had not ended after {timeout} s') from None
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if ran.returncode not in statuses:
            errors.seek(0)
            said = errors.read().strip().splitlines()[-1:]
            raise Failed(f'{os.path.basename(command[0])} ended with {ran.returncode}: {" ".join(said)[:200]}')
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ran.stdout, cpu * 1e6


def cpu_seconds_of(pid):
    """User and system, of all its threads, since it started; in ticks of 10 ms."""
    with open(f'/proc/{pid}/stat', encoding='ascii') as stat:
        fields = stat.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def resident_kib_of(pid):
    with open(f'/proc/{pid}/status', encoding='utf-8') as status:
        return int(re.search(r'VmRSS:\s+(\d+) kB', status.read()).group(1))


def wait_until(what, condition, seconds, pause=0.1):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise Failed(f'{what}: not within {seconds:.0f} s')
        time.sleep(pause)


class Daemon:
    """A program that runs beside the measurement, and ends with it."""

    def __init__(self, command, core=FLEET_CORE, environment=None, log=None):
        self.name = os.path.basename(str(command[0]))
        self.process = subprocess.Popen(bound_to_us(pinned(core, [str(word) for word in command])), stdin=subprocess.DEVNULL,
                                        stdout=log or subprocess.PIPE, stderr=log or subprocess.DEVNULL, text=True,
                                        env={**os.environ, **(environment or {})})

    def __enter__(self):
        return self

    def __exit__(self, kind=None, *_):
        ended = self.process.poll()
        if ended is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        if ended is not None and kind is not KeyboardInterrupt:
            raise Failed(f'{self.name} ended by itself, with {ended}')

    @property
    def pid(self):
        return self.process.pid

    def must_run(self):
        if self.process.poll() is not None:
            raise Failed(f'{self.name} ended with {self.process.returncode}')
        return True


class Fleet(Daemon):
    """tests/bench/fleet.c: every address of 127.0.0.0/8 answers at `port`."""

    LIVES_AT_MOST = 1800

    def __init__(self, build, kind, *options, port=22526):
        super().__init__([build / 'fleet', kind, port, self.LIVES_AT_MOST, *options])
        self.port = port
        if self.process.stdout.readline().strip() != 'ready':
            with contextlib.suppress(Failed):
                self.__exit__()
            raise Failed(f'the fleet could not listen at port {port}')

    def counts(self):
        """What it has seen since the last call: connections, requests, slowest_s."""
        self.must_run()
        self.process.send_signal(signal.SIGUSR1)
        return {name: values[0] for name, values in figures(self.process.stdout.readline()).items()}
