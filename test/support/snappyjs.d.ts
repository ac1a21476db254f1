declare module "snappyjs" {
  export function compress(data: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
}
