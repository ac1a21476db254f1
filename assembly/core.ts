/** First byte above asc's static data: from here on linear memory belongs to the TypeScript side. */
export function heapBase(): usize {
  return __heap_base;
}
