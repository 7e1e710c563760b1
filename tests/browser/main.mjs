// main.mjs BUILD_FOLDER ROOT [NAME…]: one agent, one browser, all tests or those of NAME.test.mjs; run.py starts it.
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
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    console.error(`ended by ${signal}`);
    process.exit(1);
  });
}
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

const all = pictures ? ['pictures'] : ['way', 'looks', 'lists', 'notices', 'hostile', 'mended'];
const wanted = process.argv.slice(4);
for (const file of wanted.length > 0 ? wanted : all) await import(`./${file}.test.mjs`);
