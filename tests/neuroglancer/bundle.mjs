// Bundle neuroglancer, and a page that draws the state in its address and sends the picture back:
//     node bundle.mjs FOLDER_OF_NODE_MODULES OUTPUT_FOLDER
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [from, out] = process.argv.slice(2).map((path) => resolve(path));
const require = createRequire(`${from}/`);
const { build } = require("esbuild");

// "….svg?raw" is the text of a picture. Those of ikonate come from a repository that package
// registries do not hold: buttons stay bare.
const raw = {
  name: "raw",
  setup(on) {
    on.onResolve({ filter: /\?raw$/ }, ({ path, resolveDir }) => ({
      path,
      namespace: "raw",
      pluginData: resolveDir,
    }));
    on.onLoad({ filter: /.*/, namespace: "raw" }, async ({ path, pluginData }) => ({
      contents: path.startsWith("ikonate/")
        ? '<svg xmlns="http://www.w3.org/2000/svg"/>'
        : await readFile(
            require.resolve(path.replace(/\?raw$/, ""), { paths: [pluginData] }),
            "utf8",
          ),
      loader: "text",
    }));
  },
};

// state after state comes from whoever serves the page; when all of its chunks are drawn, the canvas goes back
const watcher = `
const after = async (answer) => {
  if (answer.status === 204) return;
  window.viewer.state.reset();
  window.viewer.state.restoreState(await answer.json());
  const wait = setInterval(async () => {
    const { display, layerManager } = window.viewer;
    if (!layerManager.managedLayers.every((one) => one.isReady()) || !window.viewer.isReady()) return;
    clearInterval(wait);
    display.draw();
    const picture = display.canvas.toDataURL("image/png");
    await after(await fetch("/picture", { method: "POST", body: picture }));
  }, 100);
};
await after(await fetch("/picture", { method: "POST" }));
`;

await build({
  entryPoints: ["main", "chunk_worker", "async_computation"].map(
    (name) => `${from}/node_modules/neuroglancer/lib/${name}.bundle.js`,
  ),
  outdir: out,
  bundle: true,
  format: "esm",
  minify: true,
  logLevel: "error",
  loader: { ".svg": "text", ".html": "text", ".wasm": "file" },
  plugins: [raw],
});
await writeFile(
  `${out}/index.html`,
  `<!doctype html><meta charset="utf-8"><title>neuroglancer</title>
<link rel="stylesheet" href="main.bundle.css">
<script type="module" src="main.bundle.js"></script>
<script type="module">${watcher}</script>`,
);
