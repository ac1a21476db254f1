/**
 * The machines' software, from Debian packages: a root made by debootstrap that holds QEMU 11.1 and compilers, and
 * two kernels beside it. Debian's mirror and proxy are taken from apt's own configuration.
 *
 * Each step makes its result under another name and renames it, so an interrupted set-up goes on where it was.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ARCHITECTURES, type Architecture, BIN, CACHE, kernel, MACHINES, ROOT } from "./cache.ts";
import { installed, obtain, run, Unavailable } from "./shell.ts";

const SUITE = "trixie";
const BACKPORTS = `${SUITE}-backports`;
/** 11.1 is the first QEMU that has iommu-testdev, and a vfio-user client that does all we need. */
const FROM_BACKPORTS = ["qemu-system-x86", "qemu-system-arm", "qemu-system-data"];
const FROM_STABLE = [
  ...["gcc", "libc6-dev", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
  ...["busybox-static", "cpio", "make", "device-tree-compiler"],
];

/** Makes whatever is missing. @throws Unavailable where it can't be had */
export function setUp(say: (line: string) => void): void {
  mkdirSync(CACHE, { recursive: true });
  step(ROOT, "Debian root with QEMU", say, makeRoot);
  for (const architecture of ARCHITECTURES) {
    step(kernel(architecture), `kernel, ${architecture}`, say, (into) => unpackKernel(architecture, into));
  }
  writeWrappers();
}

function step(result: string, what: string, say: (line: string) => void, make: (into: string) => void): void {
  if (existsSync(result)) return;
  say(`setting up: ${what}`);
  const partial = `${result}.partial`;
  make(partial);
  renameSync(partial, result);
}

/** Where apt gets Debian itself from, as configured on this machine. */
function mirror(): string {
  const uris = obtain("apt-get", ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"]);
  const uri = uris.split("\n").find((line) => line !== "");
  if (uri === undefined) throw new Unavailable("apt knows no Debian mirror (run apt-get update)");
  return uri.replace(/\/$/, "");
}

function makeRoot(into: string): void {
  if (!installed("apt-get")) throw new Unavailable("the packages come from Debian, and this machine has no apt-get");
  if (process.getuid?.() !== 0) throw new Unavailable("debootstrap needs root");
  if (!installed("debootstrap")) {
    obtain("apt-get", ["update", "-q"]);
    obtain("apt-get", ["install", "-qy", "--no-install-recommends", "debootstrap"]);
  }
  const from = mirror();
  if (!existsSync(join(into, "etc/apt/apt.conf.d/90host"))) {
    rmSync(into, { recursive: true, force: true });
    obtain("debootstrap", ["--variant=minbase", "--include=ca-certificates", SUITE, into, from]);
    configureApt(into, from);
  }
  const inside = (...command: string[]) => obtain("chroot", [into, ...command]);
  inside("dpkg", "--add-architecture", "arm64");
  inside("apt-get", "update", "-q");
  inside("apt-get", "install", "-qy", "--no-install-recommends", "-t", BACKPORTS, ...FROM_BACKPORTS);
  inside("apt-get", "install", "-qy", "--no-install-recommends", ...FROM_STABLE);
}

function configureApt(root: string, from: string): void {
  const sources = [SUITE, BACKPORTS].map((suite) => `deb ${from} ${suite} main\n`).join("");
  writeFileSync(join(root, "etc/apt/sources.list"), sources);
  const proxies = run("apt-config", ["dump"]).split("\n");
  const kept = proxies.filter((line) => /^Acquire::.*prox/i.test(line)).join("\n");
  if (existsSync("/etc/resolv.conf")) cpSync("/etc/resolv.conf", join(root, "etc/resolv.conf"), { dereference: true });
  writeFileSync(join(root, "etc/apt/apt.conf.d/90host"), `${kept}\nAPT::Sandbox::User "root";\n`);
}

/** The packages that hold the newest kernel of an architecture, its modules and what building one needs. */
function kernelPackages(architecture: Architecture): { release: string; packages: string[] } {
  const suffix = architecture === "amd64" ? "" : `:${architecture}`;
  const depends = obtain("chroot", [ROOT, "apt-cache", "depends", `linux-image-${architecture}${suffix}/${BACKPORTS}`]);
  const release = /Depends: linux-image-(\d\S*?)(?::\w+)?\n/.exec(depends)?.[1];
  if (release === undefined) throw new Unavailable(`${BACKPORTS} has no kernel for ${architecture}`);
  const packages = ["linux-base", "linux-binary", "linux-modules"].map((name) => `${name}-${release}${suffix}`);
  packages.push(`busybox-static${suffix}`);
  // Modules are built for the architecture whose packaged kernel can share address spaces.
  if (architecture === "amd64") {
    const common = release.replace(/-\w+$/, "");
    packages.push(`linux-headers-${release}`, `linux-headers-${common}-common`, `linux-kbuild-${common}`);
  }
  return { release, packages };
}

/** Downloads and unpacks: installing a kernel would make an initramfs and more. */
function unpackKernel(architecture: Architecture, into: string): void {
  const { release, packages } = kernelPackages(architecture);
  const downloads = join("/var/cache", `iommulator-${architecture}`);
  mkdirSync(join(ROOT, downloads), { recursive: true });
  obtain("chroot", [ROOT, "sh", "-c", `cd ${downloads} && apt-get download -q -t ${BACKPORTS} ${packages.join(" ")}`]);
  rmSync(into, { recursive: true, force: true });
  mkdirSync(into, { recursive: true });
  for (const name of readdirSync(join(ROOT, downloads))) {
    // Headers name their places in full: they belong into the root.
    const place = /^linux-(headers|kbuild)/.test(name) ? ROOT : into;
    run("dpkg-deb", ["-x", join(ROOT, downloads, name), place]);
  }
  writeFileSync(join(into, "release"), release);
  rmSync(join(ROOT, downloads), { recursive: true });
}

/** QEMU runs outside the root through the root's own loader, so that paths and sockets are the caller's. */
function writeWrappers(): void {
  mkdirSync(BIN, { recursive: true });
  const data = ["qemu", "seabios", "qemu-efi-aarch64"].map((name) => `-L '${ROOT}/usr/share/${name}'`).join(" ");
  for (const machine of Object.values(MACHINES)) {
    const program = join(BIN, `qemu-system-${machine}`);
    const libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib"].map((path) => join(ROOT, path)).join(":");
    const loader = join(ROOT, "lib64/ld-linux-x86-64.so.2");
    const command = `'${loader}' --library-path '${libraries}' '${ROOT}/usr/bin/qemu-system-${machine}' ${data}`;
    const modules = `QEMU_MODULE_DIR='${ROOT}/usr/lib/x86_64-linux-gnu/qemu'`;
    writeFileSync(program, `#!/bin/sh\n${modules} exec ${command} "$@"\n`);
    chmodSync(program, 0o755);
  }
}
