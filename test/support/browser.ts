/** A real browser for what people look at: headless Chromium, where the machine has one. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Path of the browser, `CHROMIUM` before the usual places; undefined where there is none. */
export const browser: string | undefined = process.env.CHROMIUM ?? PLACES.find((path) => existsSync(path));

const QUIET = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * Opens a page and runs a script in it.
 * @param body HTML of the page's body
 * @param script statements of a function whose result is JSON
 */
export async function inBrowser(program: string, body: string, script: string): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), "iommulator-browser-"));
  try {
    const page = join(folder, "page.html");
    const run = `document.body.textContent = "RESULT" + btoa(JSON.stringify((() => { ${script} })())) + "END"`;
    writeFileSync(page, `<!doctype html><meta charset="utf-8"><body>${body}<script>${run}</script></body>`);
    const profile = `--user-data-dir=${join(folder, "profile")}`;
    const { stdout } = await promisify(execFile)(program, [...QUIET, profile, "--dump-dom", `file://${page}`], {
      maxBuffer: 1 << 26,
      timeout: 60_000,
    });
    const result = /RESULT([\w+/=]*)END<\/body>/.exec(stdout)?.[1];
    if (result === undefined) throw new Error(`the page has no result: ${stdout.slice(0, 500)}`);
    return JSON.parse(Buffer.from(result, "base64").toString("latin1"));
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
