// Writes the licences of the packages that the bundle contains, which have to travel with it: `ThirdPartyNotices.txt`.
// Which these are says the file that esbuild has written.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";

const [bundle, out] = process.argv.slice(2);
const packages = new Set();
for (const input of Object.keys(JSON.parse(readFileSync(bundle, "utf8")).inputs)) {
  const inside = input.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/);
  if (inside) {
    packages.add(inside[0]);
  }
}
if (packages.size === 0) {
  throw new Error(`${bundle} names no package`);
}
const parts = ["The extension contains these packages.\n"];
for (const folder of [...packages].sort()) {
  const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|notice|thirdpartynotices)/i.test(file)).sort();
  if (!files.some((file) => /^(licen[cs]e|copying)/i.test(file))) {
    throw new Error(`${folder} has no licence text`);
  }
  const texts = files.map((file) => readFileSync(`${folder}/${file}`, "utf8").replaceAll("\r\n", "\n").trim());
  parts.push(`${"=".repeat(80)}\n${name} ${version} (${license})\n\n${texts.join("\n\n")}\n`);
}
writeFileSync(out, parts.join("\n"));
