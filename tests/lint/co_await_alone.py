#!/usr/bin/env python3
"""co_await_alone.py [ROOT]: g++ 12 destroys temporaries of some co_await expressions twice; these shapes are refused.

- the operand builds an aggregate or a lambda in place, or has a ?: or another co_await in it
- a ?: around a co_await; a co_await inside braces of an initialiser
- a coroutine (a function that returns Task<...>) with a string_view parameter, or a lambda coroutine with captures
- a lock held across a co_await
"""
import pathlib
import re
import sys

TOKEN = re.compile(r'[A-Za-z_]\w*|\d[\w.]*|::|->|&&|\|\||[<>=!]=|<<|\S')
OPEN, CLOSE = {'(': ')', '[': ']', '{': '}'}, {')', ']', '}'}
BEFORE_BLOCK = {')', 'else', 'do', 'try', 'noexcept', 'const', 'mutable', 'override', 'final'}


def blank(text):
    """The text with comments and literals emptied, newlines kept."""
    pattern = re.compile(r'R"([^(\s]*)\(.*?\)\1"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)

    def replace(match):
        piece = match.group(0)
        return ('0' if piece[0] in '"\'R' else ' ') + '\n' * piece.count('\n')
    return pattern.sub(replace, text)


class File:
    def __init__(self, path):
        self.path = path
        text = blank(path.read_text(encoding='utf-8'))
        self.tokens, self.lines = [], []
        for number, line in enumerate(text.split('\n'), 1):
            if line.lstrip().startswith('#'):
                continue
            for match in TOKEN.finditer(line):
                self.tokens.append(match.group(0))
                self.lines.append(number)
        self.partner = {}
        stack = []
        for i, token in enumerate(self.tokens):
            if token in OPEN:
                stack.append(i)
            elif token in CLOSE and stack and OPEN[self.tokens[stack[-1]]] == token:
                j = stack.pop()
                self.partner[i], self.partner[j] = j, i

    def token(self, i):
        return self.tokens[i] if 0 <= i < len(self.tokens) else ''

    def lambda_at(self, i):
        """Whether the [ at i begins a lambda: nothing before it that could be subscripted, and no attribute."""
        before = self.token(i - 1)
        return before != '[' and self.token(i + 1) != '[' and not (re.match(r'\w', before) and before not in (
            'return', 'co_return', 'co_await', 'co_yield', 'case')) and before not in (')', ']')

    def findings(self):
        for i, token in enumerate(self.tokens):
            if token == 'co_await':
                yield from self.operand(i)
                yield from self.around(i)
            elif token == 'Task' and self.token(i + 1) == '<':
                yield from self.signature(i)
            elif token == 'Detached':
                yield from self.parameters(i + 1)
            elif token == '[' and self.lambda_at(i):
                yield from self.lambda_coroutine(i)
            elif token in ('lock_guard', 'unique_lock', 'scoped_lock', 'shared_lock'):
                yield from self.lock(i)

    def operand(self, start):
        i = start + 1
        while i < len(self.tokens):
            token = self.tokens[i]
            if token in (';', ',') or token in CLOSE:
                return
            end = self.partner.get(i, i)
            for j in range(i, end + 1):
                inner = self.tokens[j]
                if inner == '{':
                    yield start, 'the operand of co_await builds something in braces: name it first'
                    return
                if inner == '[' and self.lambda_at(j):
                    yield start, 'the operand of co_await holds a lambda: name it first'
                    return
                if inner == '?':
                    yield start, 'a ?: in or after the operand of co_await: use an if'
                    return
                if inner == 'co_await':
                    yield start, 'a co_await inside the operand of another: two statements'
                    return
            i = end + 1

    def around(self, start):
        """Looks back to the beginning of the statement."""
        i = start - 1
        while i >= 0:
            token = self.tokens[i]
            if token == '?' or (token == ':' and self.conditional_before(i)):
                yield start, 'a ?: around a co_await: use an if'
                return
            if token in (';', '}') and token != ')':
                if token == '}' and self.partner.get(i) is not None and self.token(i + 1) in (',', ')'):
                    i = self.partner[i] - 1
                    continue
                return
            if token in (')', ']'):
                i = self.partner.get(i, i)
            elif token == '{':
                if not self.block(i):
                    yield start, 'a co_await inside a braced initialiser: name its result first'
                return
            i -= 1

    def conditional_before(self, colon):
        i = colon - 1
        while i >= 0 and self.tokens[i] not in (';', '{', '}', 'case', 'default', 'public', 'private', 'protected'):
            if self.tokens[i] in (')', ']'):
                i = self.partner.get(i, i)
            elif self.tokens[i] in ('(', '['):
                return False
            elif self.tokens[i] == '?':
                return True
            i -= 1
        return False

    def block(self, brace):
        before = self.token(brace - 1)
        if before in BEFORE_BLOCK or before in (';', '{', '}', ':', ''):
            return True
        i = brace - 1  # a trailing return type: -> Task<void> {
        while i >= 0 and (re.match(r'[\w<>:&*,]', self.tokens[i]) or self.tokens[i] == '::'):
            i -= 1
        return i >= 0 and self.tokens[i] == '->'

    def signature(self, start):
        i, depth = start + 1, 0
        while i < len(self.tokens):
            depth += {'<': 1, '<<': 2}.get(self.tokens[i], 0) - {'>': 1}.get(self.tokens[i], 0)
            i += 1
            if depth == 0:
                break
        yield from self.parameters(i)

    def parameters(self, i):
        """At i the declarator after a coroutine's return type: name(parameters)."""
        while re.match(r'[A-Za-z_]', self.token(i)) or self.token(i) == '::':
            i += 1
        if self.token(i) != '(' or not re.match(r'[A-Za-z_]', self.token(i - 1)):
            return
        for j in range(i, self.partner.get(i, i)):
            if self.tokens[j] in ('string_view', 'initializer_list'):
                yield j, f'a coroutine takes a {self.tokens[j]}: take a value, or a reference that the caller keeps alive'

    def lambda_coroutine(self, start):
        close = self.partner.get(start)
        if close is None:
            return
        i = close + 1
        if self.token(i) == '(':
            parameters, i = i, self.partner.get(i, i) + 1
        else:
            parameters = None
        task = False
        while i < len(self.tokens) and self.tokens[i] not in ('{', ';', ')'):
            task = task or self.tokens[i] in ('Task', 'Detached')
            i += 1
        if self.token(i) != '{' or not task:
            return
        if close > start + 1:
            yield start, 'a lambda coroutine with captures: they die before it does; pass parameters'
        if parameters is not None:
            for j in range(parameters, self.partner[parameters]):
                if self.tokens[j] in ('string_view', 'initializer_list'):
                    yield j, f'a coroutine takes a {self.tokens[j]}: take a value, or a reference that the caller keeps alive'

    def lock(self, start):
        depth = 0
        for i in range(start, len(self.tokens)):
            if self.tokens[i] == '{':
                depth += 1
            elif self.tokens[i] == '}':
                depth -= 1
                if depth < 0:
                    return
            elif self.tokens[i] == 'co_await':
                yield i, 'a lock is held across this co_await'
                return


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent.parent
    failures = 0
    for room in ('checks', 'config', 'agent', 'tests'):
        for path in sorted((root / room).rglob('*')):
            if path.suffix not in ('.h', '.cc'):
                continue
            file = File(path)
            for index, message in file.findings():
                print(f'{path.relative_to(root)}:{file.lines[index]}: {message}')
                failures += 1
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
