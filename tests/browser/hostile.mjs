// Servers whose words attack whoever reads them: markup, terminal escapes, characters that turn the text around, bytes that are
// no UTF-8, lines without an end.
import {createServer} from 'node:net';

const SCRIPT = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"></pre></bdi></details>";
const ESCAPES = '\x1b[31mred\x1b[2J\x1b]0;owned\x07';
const TURNED = 'a\u202Etxt.exe\u202C\u2066b\u200Fc';
const NO_UTF8 = Buffer.from([0xff, 0xfe, 0xc0, 0xaf, 0xed, 0xa0, 0x80, 0xf5, 0x80]);

const bytes = (...parts) => Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
const words = () => bytes(SCRIPT, ' ', ESCAPES, ' ', TURNED, ' ', NO_UTF8);

export const HOSTILE = [
  {name: 'hostile-words', address: '127.30.0.1', port: 2525, checks: ['smtp_relay']},
  {name: 'hostile-refusal', address: '127.30.0.2', port: 2525, checks: ['smtp_relay']},
  {name: 'hostile-line', address: '127.30.0.3', port: 2525, checks: ['smtp_relay']},
  {name: 'hostile-proxy', address: '127.30.0.4', port: 3128, checks: ['http_connect', 'http_forward']},
];

// Says yes to everything, in such words; delivers nothing.
function says(code, socket) {
  const reply = (number) => socket.write(bytes(`${number} `, words(), '\r\n'));
  let data = false, rest = '';
  reply(220);
  socket.on('data', (chunk) => {
    const lines = (rest + chunk.toString('latin1')).split('\r\n');
    rest = lines.pop();
    for (const line of lines) {
      if (data) {
        if (line !== '.') continue;
        data = false;
        reply(250);
      } else if (/^EHLO/i.test(line)) {
        socket.write(bytes('250-', words(), '\r\n250-SIZE ', words(), '\r\n250 ', words(), '\r\n'));
      } else if (/^QUIT/i.test(line)) {
        socket.end(bytes('221 ', words(), '\r\n'));
      } else if (/^DATA/i.test(line) && code === 250) {
        data = true;
        reply(354);
      } else {
        reply(/^RCPT/i.test(line) ? code : 250);
      }
    }
  });
}

const SERVE = {
  'hostile-words': (socket) => says(250, socket),
  'hostile-refusal': (socket) => says(554, socket),
  'hostile-line': (socket) => socket.end(bytes('220 ', Buffer.alloc(1 << 20, SCRIPT), '\r\n')),
  'hostile-proxy': (socket) => socket.once('data', () => {
    socket.end(bytes('HTTP/1.1 200 ', words(), '\r\nServer: ', words(), '\r\nVia: 1.1 ', words(), '\r\nX-Long: ',
      Buffer.alloc(3000, SCRIPT), '\r\n\r\n', words()));
  }),
};

// All of them, as servers that listen.
export async function startHostile() {
  return Promise.all(HOSTILE.map(({name, address, port}) => new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => {});  // the agent leaves when it has heard enough
      socket.setTimeout(30000, () => socket.destroy());
      SERVE[name](socket);
    });
    server.once('error', reject);
    server.listen(port, address, () => resolve(server));
  })));
}
