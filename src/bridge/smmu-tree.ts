/**
 * Makes the device tree of QEMU's arm64 machine "virt" tell of our SMMU.
 *
 * Linux Documentation/devicetree/bindings: iommu/arm,smmu-v3.yaml, pci/pci-iommu.txt. The SMMU's registers are
 * a PCI function's BAR, which lies outside of the window that the system may give to other functions.
 */
import { asciiz, cells, cellsOf, findCompatible, nodesOf, parseTree, type TreeNode, writeTree } from "./device-tree.ts";

/** Where the SMMU's BAR is put: at the end of the 32-bit window, which is cut down to there. */
export const SMMU_BASE = 0x3e00_0000;
/** Pages 0 and 1. */
const SMMU_BYTES = 0x2_0000;

/** Cells of an entry of `ranges`: PCI address (3), CPU address (2), size (2). */
const RANGE_CELLS = 7;
const PCI_LOW = 2;
const SIZE_LOW = 6;
/** The kind of space in the first cell's bits 25:24; memory with 32-bit addresses. */
const MEMORY_32 = 0x0200_0000;

export interface SmmuTree {
  blob: Uint8Array;
  /** Where configuration space is mapped. */
  ecam: bigint;
}

/**
 * @param firstSid StreamID, and PCI requester, of the first device behind the SMMU; `sids` follow
 * @throws RangeError when the tree is not one of "virt" with a GICv2m
 */
export function addSmmu(blob: Uint8Array, firstSid: number, sids: number): SmmuTree {
  const root = parseTree(blob);
  const pci = required(root, "pci-host-ecam-generic");
  const v2m = cellsOf(required(root, "arm,gic-v2m-frame").properties.get("phandle"))[0];
  if (v2m === undefined) throw new RangeError("a GICv2m frame without phandle");
  const phandles = [...nodesOf(root)].map(({ properties }) => cellsOf(properties.get("phandle"))[0] ?? 0);
  const phandle = Math.max(...phandles) + 1;
  root.children.push({
    name: `iommu@${SMMU_BASE.toString(16)}`,
    properties: new Map([
      ["compatible", asciiz("arm,smmu-v3")],
      ["reg", cells(0, SMMU_BASE, 0, SMMU_BYTES)],
      ["#iommu-cells", cells(1)],
      ["dma-coherent", new Uint8Array(0)],
      // Every interrupt of the SMMU is an MSI, since no wire leads from here to the machine.
      ["msi-parent", cells(v2m)],
      ["phandle", cells(phandle)],
    ]),
    children: [],
  });
  pci.properties.set("iommu-map", cells(firstSid, phandle, firstSid, sids));
  pci.properties.set("ranges", cutWindow(cellsOf(pci.properties.get("ranges"))));
  const [high = 0, low = 0] = cellsOf(pci.properties.get("reg"));
  return { blob: writeTree(root), ecam: BigInt(high) * 2n ** 32n + BigInt(low) };
}

function required(root: TreeNode, compatible: string): TreeNode {
  const node = findCompatible(root, compatible);
  if (!node) throw new RangeError(`a device tree without ${compatible}`);
  return node;
}

/** Ends the 32-bit memory window where the SMMU begins. */
function cutWindow(ranges: readonly number[]): Uint8Array {
  const changed = [...ranges];
  for (let at = 0; at + RANGE_CELLS <= changed.length; at += RANGE_CELLS) {
    const start = changed[at + PCI_LOW] ?? 0;
    const isWindow = changed[at] === MEMORY_32 && start < SMMU_BASE;
    if (isWindow) changed[at + SIZE_LOW] = Math.min(changed[at + SIZE_LOW] ?? 0, SMMU_BASE - start);
  }
  return cells(...changed);
}
