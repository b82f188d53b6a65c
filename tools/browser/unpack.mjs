// Unpacks Chromium and the libraries that it brings along into node_modules/.chromium, all or nothing.
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { createBrotliDecompress } from "node:zlib";
import { extract } from "tar-fs";

const packed = new URL("node_modules/@sparticuz/chromium/bin/", import.meta.url);
const unpacking = new URL("node_modules/.unpacking/", import.meta.url);
const unpacked = new URL("node_modules/.chromium/", import.meta.url);

async function unpack(name, target) {
  await pipeline(createReadStream(new URL(`${name}.br`, packed)), createBrotliDecompress(), target);
}

await rm(unpacking, { recursive: true, force: true });
await rm(unpacked, { recursive: true, force: true });
await mkdir(unpacking);
await unpack("chromium", createWriteStream(new URL("chromium", unpacking), { mode: 0o755 }));
await unpack("al2023.tar", extract(fileURLToPath(unpacking)));
await rename(unpacking, unpacked);
