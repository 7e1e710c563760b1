// main.mjs BUILD_FOLDER ROOT: one agent, one browser, all tests; run.py starts it.
import {after, before} from 'node:test';
import {startBrowser} from './browser.mjs';
import {House} from './house.mjs';
import {world} from './world.mjs';

// What is not done by then never will be: ctest would have ended it.
const TOO_LATE = 540000;
setTimeout(() => {
  console.error('the tests take too long');
  process.exit(1);
}, TOO_LATE).unref();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
process.once('exit', () => world.house?.stop());

before(async () => {
  world.house = await House.start();
  [world.browser] = await Promise.all([startBrowser(), world.house.settled()]);
});
after(async () => {
  await world.browser?.close();
  world.house?.stop();
});

await import('./way.test.mjs');
await import('./looks.test.mjs');
await import('./lists.test.mjs');
await import('./notices.test.mjs');
await import('./hostile.test.mjs');
await import('./mended.test.mjs');
