import { describe, expect, it } from "vitest";
import { FREE, R, SmmuBench, SYNC, stage1, syncMsi } from "../support/smmu-bench.ts";

const CMDQ_ERR = 1;
const SID = 5;

describe("interrupts and global errors, IHI 0070 3.18 and 7.5", () => {
  const MSI = 0x802_0040n;
  const listen = (bench: SmmuBench) => {
    const heard: string[] = [];
    bench.smmu.onLine = (line) => void heard.push(line);
    bench.smmu.onInterrupt = (address, data) => void heard.push(`${address.toString(16)}:${data}`);
    return heard;
  };
  const faulty = (): SmmuBench => {
    const bench = new SmmuBench();
    stage1(bench, SID);
    bench.write64(R.EVENTQ_IRQ_CFG0, MSI);
    bench.write(R.EVENTQ_IRQ_CFG1, 0x50);
    bench.write64(R.GERROR_IRQ_CFG0, MSI);
    bench.write(R.GERROR_IRQ_CFG1, 0x51);
    return bench;
  };
  const fault = (bench: SmmuBench): void => void bench.smmu.translate({ sid: SID, address: 0n });

  it("SMMU-023 the event queue's fires when it is no longer empty, once, wire and message", () => {
    const bench = faulty();
    const heard = listen(bench);
    fault(bench);
    expect(heard).toEqual([]);
    bench.write(R.IRQ_CTRL, 4);
    fault(bench);
    expect(heard).toEqual([]);
    bench.events();
    fault(bench);
    fault(bench);
    expect(heard).toEqual(["eventq", "8020040:80"]);
  });

  it("SMMU-024 the global error's fires when an error becomes active and GERROR_IRQEN = 1", () => {
    const bench = faulty();
    const heard = listen(bench);
    bench.send([0x7fn, 0n]);
    bench.write(R.IRQ_CTRL, 1);
    expect(heard).toEqual([]);
    bench.write(R.GERRORN, CMDQ_ERR);
    expect(heard).toEqual(["gerror", "8020040:81"]);
    expect(bench.read(R.GERROR)).toBe(0);
  });

  it("ADDR = 0 sends no message", () => {
    const bench = faulty();
    const heard = listen(bench);
    bench.write64(R.EVENTQ_IRQ_CFG0, 0n);
    bench.write(R.IRQ_CTRL, 4);
    fault(bench);
    expect(heard).toEqual(["eventq"]);
  });

  it("SMMU-090 messages that abort: each source has its error, and that of GERROR raises no interrupt", () => {
    const bench = faulty();
    const heard: string[] = [];
    bench.smmu.onLine = (line) => void heard.push(line);
    bench.write(R.IRQ_CTRL, 5);
    fault(bench);
    // MSI_EVENTQ_ABT_ERR, then the message that tells of it aborts too: MSI_GERROR_ABT_ERR.
    expect(bench.read(R.GERROR)).toBe((1 << 5) | (1 << 7));
    expect(heard).toEqual(["eventq", "gerror"]);
  });

  it("GERRORN toggled for nothing activates nothing", () => {
    const bench = faulty();
    const heard = listen(bench);
    bench.write(R.IRQ_CTRL, 5);
    bench.write(R.GERRORN, 0x1fd);
    bench.send(SYNC);
    fault(bench);
    expect([bench.read(R.GERROR), bench.read(R.GERRORN), bench.read(R.CMDQ_CONS), heard[0]]).toEqual([
      0,
      0x1fd,
      1,
      "eventq",
    ]);
  });

  it("SMMU-018 an error that is active is not toggled a second time", () => {
    const bench = faulty();
    bench.memory.poison(FREE, 4);
    bench.send(syncMsi(FREE, 1n), syncMsi(FREE, 1n));
    expect(bench.read(R.GERROR)).toBe(1 << 4);
    bench.write(R.GERRORN, 1 << 4);
    bench.send(syncMsi(FREE, 1n));
    expect(bench.read(R.GERROR)).toBe(0);
  });
});
