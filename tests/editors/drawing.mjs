// The HTML drawing in Chromium: what a user does with it. Environment: ZRECIPE, the program; CHROMIUM, the browser;
// PACKAGES, the directory with playwright-core and axe-core.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

const { ZRECIPE, CHROMIUM, PACKAGES } = process.env;
const require = createRequire(join(PACKAGES, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const RECIPE = {
  1: { service: "Hostile <img src=x onerror=alert(1)>", queue: "first", output: { some: 2, other: [3] }, error: 4 },
  2: { service: "Archiver", queue: "arch</script>", parameters: { pattern: "unique_needle", password: "hunter2" } },
  3: { queue: "third", output: 9 },
  4: { queue: "fourth" },
  start: [[1, []]],
};

// Layers of one to six steps, each linked to some of the next.
function large(steps) {
  const recipe = { start: [[1, []]] };
  for (let step = 1; step <= steps; step += 1) {
    const links = [2 * step, 2 * step + 1, step + 7].filter((to) => to <= steps);
    recipe[step] = { queue: `queue.${step}`, output: Object.fromEntries(links.map((to, at) => [`channel${at}`, to])) };
  }
  return recipe;
}

const folder = mkdtempSync(join(tmpdir(), "drawing-"));
let browser;

function draw(name, recipes, ...options) {
  const files = Object.entries(recipes).map(([file, recipe]) => {
    writeFileSync(join(folder, file), typeof recipe === "string" ? recipe : JSON.stringify(recipe, null, 2));
    return file;
  });
  const page = join(folder, name);
  execFileSync(ZRECIPE, ["graph", "--format", "html", "-o", page, ...options, ...files], { cwd: folder, stdio: "pipe" });
  return pathToFileURL(page).href;
}

// A page that fails the test if it asks for anything beside its file, reports an error, or opens a dialog.
async function open(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith("data:")) faults.push(`request for ${request.url()}`);
  });
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("dialog", (dialog) => faults.push(`dialog ${dialog.message()}`));
  await page.goto(url);
  return { page, close: async () => (await context.close(), assert.deepEqual(faults, [])) };
}

// What of the boxes is inside of the window.
const visible = (page) =>
  page.evaluate(() => {
    const svg = document.querySelector(".recipe:not([hidden]) > svg");
    const frame = svg.getBoundingClientRect();
    const boxes = [...svg.querySelectorAll(".box")].map((box) => box.getBoundingClientRect());
    const inside = (box) =>
      box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom;
    return { inside: boxes.filter(inside).length, all: boxes.length };
  });
const widthOf = async (page, node) => (await page.locator(`${node} .box`).boundingBox()).width;
const middleOf = async (page, node) => {
  const { x, y, width, height } = await page.locator(`${node} .box`).boundingBox();
  return { x: x + width / 2, y: y + height / 2 };
};
const focused = (page) => page.evaluate(() => document.activeElement.id);
const details = (page) => page.locator("#details").innerText();

async function violations(page) {
  // The policy of the page permits no script but its own; the debugger's are exempt.
  await page.evaluate(axe);
  const result = await page.evaluate(() => axe.run());
  return result.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
}

let one;
before(async () => {
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  one = draw("one.html", { "one.json": RECIPE });
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

test("it opens fitted, and nothing of a recipe is markup", async () => {
  const { page, close } = await open(one);
  const { inside, all } = await visible(page);
  assert.equal(inside, all);
  assert.equal(all, 6);
  assert.equal(await page.locator("img").count(), 0);
  assert.match(await page.locator("#r1n1").textContent(), /Hostile <img/);
  assert.doesNotMatch(await page.content(), /hunter2/);
  await close();
});

test("a click shows the details of a step, and leads on to its neighbours", async () => {
  const { page, close } = await open(one);
  await page.locator("#r1n2").click();
  const text = await details(page);
  assert.match(text, /unique_needle/);
  assert.match(text, /Receives from/);
  await page.locator("#details li button").first().click();
  assert.equal(await focused(page), "r1n1");
  assert.match(await details(page), /Sends to/);
  await close();
});

test("findings are on the boxes", async () => {
  const { page, close } = await open(one);
  assert.ok((await page.locator(".badge.error").count()) > 0);
  await page.locator("#r1n3").click();
  assert.match(await details(page), /error: .*9.*\(line \d+, unknown-step\)/);
  await close();
});

test("the wheel zooms at the pointer, a drag moves, and fit shows everything again", async () => {
  const { page, close } = await open(one);
  const before = await widthOf(page, "#r1n1");
  const { x, y } = await middleOf(page, "#r1n1");
  await page.mouse.move(x, y);
  await page.mouse.wheel(0, -500);
  await page.waitForFunction((width) => document.querySelector("#r1n1 .box").getBoundingClientRect().width > 2 * width, before);
  const larger = await middleOf(page, "#r1n1");
  assert.ok(Math.abs(larger.x - x) < 2 && Math.abs(larger.y - y) < 2);
  await page.mouse.move(600, 700);
  await page.mouse.down();
  await page.mouse.move(500, 640, { steps: 4 });
  await page.mouse.up();
  const moved = await middleOf(page, "#r1n1");
  assert.ok(Math.abs(moved.x - larger.x + 100) < 2 && Math.abs(moved.y - larger.y + 60) < 2, JSON.stringify([larger, moved]));
  await page.locator("#fit").click();
  const { inside, all } = await visible(page);
  assert.equal(inside, all);
  await close();
});

test("two fingers zoom", async () => {
  const { page, close } = await open(one, { hasTouch: true });
  const before = await widthOf(page, "#r1n1");
  const session = await page.context().newCDPSession(page);
  const touch = (type, ...points) =>
    session.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([x, y], id) => ({ x, y, id })) });
  await touch("touchStart", [400, 400], [500, 400]);
  for (let step = 1; step <= 5; step += 1) await touch("touchMove", [400 - 10 * step, 400], [500 + 10 * step, 400]);
  await touch("touchEnd");
  const ratio = (await widthOf(page, "#r1n1")) / before;
  assert.ok(ratio > 1.8 && ratio < 2.2, `${ratio}`);
  await close();
});

test("find goes from match to match", async () => {
  const { page, close } = await open(one);
  await page.locator("#find").fill("UNIQUE_needle");
  assert.equal(await page.locator("#found").innerText(), "1 of 1");
  assert.match(await details(page), /Archiver/);
  await page.locator("#find").fill("ir");
  assert.match(await page.locator("#found").innerText(), /^1 of [2-9]/);
  await page.keyboard.press("Enter");
  assert.match(await page.locator("#found").innerText(), /^2 of/);
  await page.keyboard.press("Shift+Enter");
  assert.match(await page.locator("#found").innerText(), /^1 of/);
  await page.locator("#find").fill("nothing like it");
  assert.equal(await page.locator("#found").innerText(), "0 found");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#find").inputValue(), "");
  await close();
});

test("the keyboard alone is enough", async () => {
  const { page, close } = await open(one);
  // Every control is reached, and the drawing is one stop.
  const stops = [];
  for (let press = 0; press < 12; press += 1) {
    await page.keyboard.press("Tab");
    stops.push(await focused(page));
  }
  for (const id of ["find", "zoom-in", "fit", "r1n0", "panel"]) assert.ok(stops.includes(id), `${id} in ${stops}`);
  assert.equal(stops.filter((id) => id.startsWith("r1n")).length, 1, `${stops}`);
  await page.locator("#r1n0").focus();
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(page), "r1n1");
  await page.keyboard.press("ArrowDown");
  const below = await focused(page);
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await focused(page), below);
  await page.keyboard.press("Home");
  assert.equal(await focused(page), "r1n0");
  const width = await widthOf(page, "#r1n0");
  await page.keyboard.press("+");
  assert.ok((await widthOf(page, "#r1n0")) > width);
  await page.keyboard.press("0");
  assert.ok(Math.abs((await widthOf(page, "#r1n0")) - width) < 1);
  await page.keyboard.press("/");
  assert.equal(await focused(page), "find");
  await page.keyboard.type("third");
  await page.keyboard.press("Escape");
  assert.match(await focused(page), /^r1n/);
  await close();
});

test("dark and light differ, and both are free of axe's violations", async () => {
  const grounds = [];
  for (const colorScheme of ["dark", "light"]) {
    const { page, close } = await open(one, { colorScheme });
    grounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
    await page.locator("#r1n3").click();
    assert.deepEqual(await violations(page), [], colorScheme);
    await close();
  }
  assert.notEqual(grounds[0], grounds[1]);
  const { page, close } = await open(one, { colorScheme: "light" });
  await page.locator("#theme").click();
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), grounds[0]);
  await close();
});

test("a phone shows the drawing and the details, and nothing beside the screen", async () => {
  const { page, close } = await open(one, { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true });
  const { inside, all } = await visible(page);
  assert.equal(inside, all);
  await page.locator("#r1n2").tap();
  assert.match(await details(page), /unique_needle/);
  const size = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
  assert.deepEqual(size, [360, 640]);
  assert.ok((await page.locator("#r1 svg").boundingBox()).height > 200);
  assert.deepEqual(await violations(page), []);
  await close();
});

test("500 steps open at the start, and every step is found", async () => {
  for (const direction of ["down", "right"]) {
    const { page, close } = await open(draw("large.html", { "large.json": large(500) }, "--direction", direction));
    const start = await page.locator("#r1n0 .box").boundingBox();
    assert.ok(start.x > 0 && start.y > 0 && start.x < 1200 && start.y < 800 && start.width > 30, JSON.stringify(start));
    await page.locator("#find").fill("queue.437");
    assert.equal(await page.locator("#found").innerText(), "1 of 1");
    const box = await page.locator(".node.current .box").boundingBox();
    assert.ok(box.x > 0 && box.y > 0 && box.x < 800 && box.y < 800 && box.width > 30, JSON.stringify(box));
    await page.locator("#fit").click();
    const { inside, all } = await visible(page);
    assert.equal(inside, all);
    await close();
  }
});

test("several recipes have an index", async () => {
  const url = draw("several.html", { "one.json": RECIPE, "two.json": { 1: { queue: "other" }, start: [[1, []]] } });
  const { page, close } = await open(url);
  assert.equal(await page.locator("#index tbody tr").count(), 2);
  assert.deepEqual(await violations(page), []);
  await page.getByRole("link", { name: "two.json" }).click();
  await page.locator("#r2n1").click();
  assert.match(await details(page), /other/);
  assert.equal(await page.locator("#r1").isVisible(), false);
  await page.goBack();
  await page.locator("#index").waitFor();
  await close();
});

test("a document without steps has a reason in the place of a drawing", async () => {
  const { page, close } = await open(draw("empty.html", { "empty.json": "{ \"workingdir\": " }));
  assert.match(await page.locator(".empty").innerText(), /\./);
  assert.match(await details(page), /error: /);
  await close();
});

test("two versions of a recipe", async () => {
  const newer = structuredClone(RECIPE);
  newer[2].parameters.pattern = "other";
  delete newer[4];
  delete newer[1].error;
  newer[3].output = 5;
  newer[5] = { service: "Mailer", queue: "mail" };
  writeFileSync(join(folder, "older.json"), JSON.stringify(RECIPE));
  writeFileSync(join(folder, "newer.json"), JSON.stringify(newer));
  const url = draw("diff.html", {}, "--diff", "older.json", "newer.json");
  const { page, close } = await open(url);
  for (const [mark, text] of [["added", "Mailer"], ["removed", "fourth"], ["changed", "Archiver"], ["rewired", "third"]]) {
    const found = await page.locator(`.node.${mark}`).allTextContents();
    assert.ok(found.some((one) => one.includes(text) && one.includes(mark)), `${mark}: ${found}`);
  }
  await page.locator(".node.changed").first().click();
  assert.match(await details(page), /change/);
  assert.ok((await page.locator(".arrow.removed").count()) > 0 && (await page.locator(".arrow.added").count()) > 0);
  assert.deepEqual(await violations(page), []);
  await close();
});

test("a run has its states, counts and times on the boxes", async () => {
  const options = { cwd: folder, stdio: "pipe", env: { ...process.env, ZRECIPE_STATE: join(folder, "state") } };
  // Two of its steps fail, and two deal with that.
  assert.throws(() => execFileSync(ZRECIPE, ["run", "failures", "-p", "workingdir=.", "-p", "guid=demo-run"], options));
  const file = join(folder, "run.html");
  execFileSync(ZRECIPE, ["graph", "--run", "demo", "--format", "html", "-o", file], options);
  const { page, close } = await open(pathToFileURL(file).href);
  assert.equal(await page.locator(".node.run-failed").count(), 2);
  assert.equal(await page.locator(".node.run-succeeded").count(), 2);
  assert.match(await page.locator(".run-failed").first().textContent(), /1 failed, [\d.]+ m?s/);
  await page.locator(".run-failed").first().click();
  assert.match(await details(page), /no\/such\/file.*exit status/s);
  assert.deepEqual(await violations(page), []);
  await close();
});

test("a webview of an editor exchanges the page, and keeps place, scale and search", async () => {
  const context = await browser.newContext({ viewport: { width: 800, height: 600 } });
  const page = await context.newPage();
  await page.addInitScript(() => {
    window.told = [];
    window.acquireVsCodeApi = () => ({ postMessage: (message) => window.told.push(message) });
  });
  await page.goto(one);
  const told = () => page.evaluate(() => window.told);
  assert.deepEqual(await told(), [{ kind: "ready" }]);
  const post = (message) => page.evaluate((message) => window.postMessage(message, "*"), message);
  const other = structuredClone(RECIPE);
  other[2].service = "Renamed";
  const text = readFileSync(new URL(draw("other.html", { "one.json": other })), "utf8");
  await page.locator("#find").fill("arch");
  await page.locator("#zoom-in").click();
  const width = await widthOf(page, "#r1n4");
  await post({ kind: "page", text, current: 3 });
  await page.locator("#r1n2", { hasText: "Renamed" }).waitFor();
  assert.ok(Math.abs((await widthOf(page, "#r1n4")) - width) < 1);
  assert.equal(await page.locator("#find").inputValue(), "arch");
  await page.locator("#r1n3.current").waitFor();
  await post({ kind: "current", current: 1 });
  await page.locator("#r1n1.current").waitFor();
  await page.locator("#r1n2").click();
  assert.deepEqual((await told()).at(-1), { kind: "clicked", box: 2 });
  await context.close();
});

test("a picture for documents is legible on dark and light pages, and has a focus order", async () => {
  const file = join(folder, "one.svg");
  execFileSync(ZRECIPE, ["graph", "--format", "svg", "-o", file, "one.json"], { cwd: folder, stdio: "pipe" });
  const url = pathToFileURL(file).href;
  const colours = [];
  for (const colorScheme of ["dark", "light"]) {
    const { page, close } = await open(url, { colorScheme });
    colours.push(await page.evaluate(() => ["page", "arrow"].map((name) => {
      const { fill, stroke } = getComputedStyle(document.querySelector(`.${name}`));
      return name === "page" ? fill : stroke;
    })));
    await page.keyboard.press("Tab");
    assert.equal(await focused(page), "n0");
    await page.keyboard.press("Tab");
    assert.equal(await focused(page), "n1");
    assert.equal(await page.evaluate(() => JSON.parse(document.querySelector("metadata").textContent).recipes[0].name), "one.json");
    assert.deepEqual(await violations(page), [], colorScheme);
    await close();
  }
  assert.notDeepEqual(colours[0], colours[1]);
});
