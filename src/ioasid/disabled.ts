/**
 * The layer as a kernel built without it sees it: every call answers what the inline stubs answer.
 *
 * Hand it to whatever takes an `Ioasid` to see how it fares without one. Nothing here ever changes.
 */
import { type Found, fail, type Status } from "./result.ts";

export class DisabledIoasid {
  readonly profile = "disabled";

  /** INVALID_IOASID. */
  alloc(): undefined {
    return undefined;
  }
  free(): false {
    return false;
  }
  get(): false {
    return false;
  }
  put(): false {
    return false;
  }
  /** NULL, and not an error: the one place where an unknown ID is no ENOENT. */
  find(): Found<never> {
    return { kind: "none" };
  }
  setData(): Promise<Status<"ENOTSUPP">> {
    return Promise.resolve(fail("ENOTSUPP"));
  }
  registerAllocator(): Status<"ENOTSUPP"> {
    return fail("ENOTSUPP");
  }
  /** Nothing to remove, nothing to say. */
  unregisterAllocator(): void {}
  /** pasid_valid of v5.18. */
  pasidValid(): false {
    return false;
  }
}

/** `iommu_pasid_*` without IOMMU_API, where no consumer can exist. */
export const DISABLED_CONSUMER: {
  readonly init: () => null;
  readonly exit: () => void;
  readonly alloc: () => Status<"ENODEV">;
  readonly free: () => void;
  readonly each: () => Status<"ENODEV">;
  readonly find: () => Found<never>;
} = {
  init: () => null,
  exit: () => {},
  alloc: () => fail("ENODEV"),
  free: () => {},
  each: () => fail("ENODEV"),
  find: () => ({ kind: "none" }),
};
