// main.mjs BUILD_FOLDER ROOT: one agent, one browser, all tests; run.py starts it.
import {after, before} from 'node:test';
import {startBrowser} from './browser.mjs';
import {House, PICTURED, TESTED} from './house.mjs';
import {world} from './world.mjs';

// What is not done by then never will be: ctest would have ended it.
const TOO_LATE = 840000;
setTimeout(() => {
  console.error('the tests take too long');
  process.exit(1);
}, TOO_LATE).unref();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
process.once('exit', () => world.house?.stop());

const pictures = process.env.AJAR_SCREENSHOTS !== undefined;
before(async () => {
  world.house = await (pictures ? House.start(PICTURED, false) : House.start(TESTED));
  [world.browser] = await Promise.all([startBrowser(), world.house.settled()]);
});
after(async () => {
  await world.browser?.close();
  world.house?.stop();
});

const files = pictures ? ['pictures'] : ['way', 'looks', 'lists', 'notices', 'hostile', 'mended'];
for (const file of files) await import(`./${file}.test.mjs`);
