/** The ABI: everything the TypeScript side can call. */
export { heapBase } from "./core";
export { copyFromGuest, copyToGuest } from "./memory";
