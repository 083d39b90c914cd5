// The documentation site in Chromium. Environment: SITE, the directory that mkdocs wrote; CHROMIUM, the browser; PACKAGES,
// the directory with playwright-core.

import assert from "node:assert/strict";
import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";
import { after, before, test } from "node:test";

const { SITE, CHROMIUM, PACKAGES } = process.env;
const require = createRequire(join(PACKAGES, "package.json"));
const { chromium } = require("playwright-core");

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json" };
// Pages of rules and commands are alike: two of each are enough.
const ALIKE = /^\/(rules|commands|adr)\/./;

let server;
let browser;
let origin;

before(async () => {
  server = createServer((request, response) => {
    let path = join(SITE, normalize(decodeURIComponent(new URL(request.url, "http://site").pathname)));
    if (existsSync(path) && statSync(path).isDirectory()) path = join(path, "index.html");
    if (!existsSync(path)) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
    createReadStream(path).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
});

after(async () => {
  await browser?.close();
  server?.close();
});

// A page that notes requests to others, failed requests and errors.
async function watched() {
  const page = await browser.newPage();
  const faults = [];
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !/^(data|blob):/.test(url)) faults.push(`a request for ${url}`);
  });
  page.on("response", (response) => response.status() >= 400 && faults.push(`${response.status()} for ${response.url()}`));
  page.on("pageerror", (error) => faults.push(String(error)));
  return { page, faults };
}

test("no page asks another server for anything", async () => {
  const map = readFileSync(join(SITE, "sitemap.xml"), "utf8");
  assert.ok(existsSync(join(SITE, "index.html")), map);
  const { page, faults } = await watched();
  await page.goto(`${origin}/`, { waitUntil: "networkidle" });
  const links = await page.evaluate(() => [...document.querySelectorAll("nav a[href]")].map((link) => link.href));
  const paths = [...new Set(links.filter((link) => link.startsWith(origin)).map((link) => new URL(link).pathname))];
  const visited = paths.filter((path) => !ALIKE.test(path)).concat("/rules/unknown-step/", "/rules/two-destinations/");
  assert.ok(visited.length > 30, visited.join(" "));
  for (const path of [...visited, "/commands/check/", "/commands/dlq/"]) {
    await page.goto(`${origin}${path}`, { waitUntil: "load" });
    assert.ok((await page.locator("h1").count()) >= 1, `${path} has no title`);
  }
  assert.deepEqual(faults, []);
});

test("the search finds a page", async () => {
  const { page, faults } = await watched();
  await page.goto(`${origin}/`);
  await page.locator("[data-md-component=search-query]").first().fill("dead letters");
  await page.locator(".md-search-result__item a").first().waitFor();
  assert.match(await page.locator(".md-search-result__list").innerText(), /dead letters/i);
  assert.deepEqual(faults, []);
});
