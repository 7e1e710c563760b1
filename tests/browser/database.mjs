// A database of blocked hosts on loopback: 127.0.0.2 for its test point and for the addresses that it is told, NXDOMAIN for the rest.
import {createSocket} from 'node:dgram';

const A = 1, TXT = 16, ZONE = 'bl.example';
const reversed = (address) => address.split('.').reverse().join('.');

// The labels of the only question, and where they end.
function question(packet) {
  const labels = [];
  let at = 12;
  while (packet[at] > 0) {
    labels.push(packet.subarray(at + 1, at + 1 + packet[at]).toString('latin1'));
    at += 1 + packet[at];
  }
  return {name: labels.join('.').toLowerCase(), type: packet.readUInt16BE(at + 1), end: at + 5};
}

function record(type, data) {
  const head = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0x0e, 0x10, 0, data.length]);
  return Buffer.concat([head, data]);
}

function answer(packet, listed) {
  const {name, type, end} = question(packet);
  const known = listed.has(name);
  const records = [];
  if (known && type === A) records.push(record(A, Buffer.from([127, 0, 0, 2])));
  const said = 'it relayed <script>document.title=\'owned\'</script>';
  if (known && type === TXT) records.push(record(TXT, Buffer.concat([Buffer.from([said.length]), Buffer.from(said)])));
  const head = Buffer.from(packet.subarray(0, 12));
  head[2] = 0x80 | (packet[2] & 0x01);
  head[3] = 0x80 | (known || name === ZONE ? 0 : 3);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  head.writeUInt32BE(0, 8);
  return Buffer.concat([head, packet.subarray(12, end), ...records]);
}

// A socket that serves on a free port of 127.0.0.1.
export function startDatabase(addresses) {
  const listed = new Set(['127.0.0.2', ...addresses].map((address) => `${reversed(address)}.${ZONE}`));
  const socket = createSocket('udp4');
  socket.on('message', (packet, peer) => {
    if (packet.length > 16) socket.send(answer(packet, listed), peer.port, peer.address);
  });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(0, '127.0.0.1', () => resolve(socket));
  });
}
