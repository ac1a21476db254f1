/** Breaks a case: fields of STE and CD, words of tables, the memory under them. */
import type { Choices } from "../choices.ts";
import { type Image, put } from "./image.ts";

type Field = readonly [msb: number, lsb: number];

export const STE_FIELDS: readonly Field[] = [
  [0, 0],
  [3, 1],
  [5, 4],
  [55, 48],
  [55, 6],
  [63, 59],
  [65, 64],
  [89, 89],
  [91, 91],
  [93, 92],
  [95, 94],
  [115, 112],
  [143, 128],
  [165, 160],
  [167, 166],
  [175, 174],
  [178, 176],
  [179, 179],
  [180, 180],
  [184, 183],
  [185, 185],
  [186, 186],
  [243, 236],
  [243, 196],
];

export const CD_FIELDS: readonly Field[] = [
  [5, 0],
  [7, 6],
  [14, 14],
  [15, 15],
  [21, 16],
  [23, 22],
  [30, 30],
  [31, 31],
  [34, 32],
  [41, 41],
  [43, 42],
  [44, 44],
  [46, 46],
  [63, 48],
  [115, 108],
  [115, 68],
  [179, 172],
  [179, 132],
];

/** Gives a field or two a random value. */
export function breakStructure(c: Choices, words: bigint[], fields: readonly Field[]): void {
  while (c.chance(7)) {
    const [msb, lsb] = c.pick(fields);
    put(words, msb, lsb, c.bits(msb - lsb + 1));
  }
}

/** Breaks words anywhere: flipped bits, junk, holes, loops, pointers to each other, bus errors. */
export function breakWords(c: Choices, image: Image, oas: number): void {
  while (c.chance(14)) {
    const addresses = [...image.words.keys()];
    const address = c.pick(addresses);
    const word = image.words.get(address) as bigint;
    switch (c.below(6)) {
      case 0:
        image.words.set(address, word ^ (1n << BigInt(c.below(64))));
        break;
      case 1:
        image.words.set(address, c.bits(64));
        break;
      case 2:
        image.words.set(address, 0n);
        break;
      case 3:
        image.words.set(address, (c.pick(addresses) & ~0xfffn) | (word & 0xfff0_0000_0000_0fffn));
        break;
      case 4:
        image.words.set(address, (c.bits(oas) & 0xf_ffff_ffff_f000n) | (word & 0xfffn));
        break;
      case 5:
        image.poisons.push(address);
    }
  }
}
