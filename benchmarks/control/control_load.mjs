// Whether calls of the API disturb media: rooms with a physician each, the gateway's own dwell with
// and without a flood of unary calls, alternating; then how long a command takes, and what 1,000
// watches cost. The clients keep to the first processor, the gateway to the others: measured is
// what calls cost the gateway, not what the client takes from it. Prints figures; judges nothing.
//   VIGIL_GATEWAY=build/release/gateway/app/vigil-gateway \
//   VIGIL_CONTROL_BENCH=build/release/benchmarks/control/vigil_control_bench \
//   VIGIL_LOAD_MEDIA=build/release/benchmarks/control/vigil_media_load \
//     node benchmarks/control/control_load.mjs [ROUNDS] [SECONDS] [ROOMS]

import {execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import os from 'node:os';
import {fileURLToPath} from 'node:url';

import {Gateway} from '../../tests/interop/lib/gateway.mjs';
import {MediaLoad} from '../../tests/interop/lib/media_load.mjs';

const ROUNDS = Number(process.argv[2] ?? 5);
const SECONDS = Number(process.argv[3] ?? 10);
const ROOMS = Number(process.argv[4] ?? 20);
const OFFERS = fileURLToPath(new URL('../../tests/fixtures/sdp', import.meta.url));
const UNLIMITED = {VIGIL_LIMITS_CALLS_PER_SECOND: '1000000', VIGIL_LIMITS_CALLS_AT_ONCE: '1000000'};

const PROCESSORS = os.availableParallelism();
if (PROCESSORS < 2) throw new Error('one processor for the clients and one for the gateway needed');

// In front of a client's command line. Callers share that processor with the rooms, which must send
// in time: a sender that is late sends all that is due at once, and its last packet waits for the
// first ones.
const ON_CLIENTS = ['taskset', '--cpu-list', '0'];
const CALLER = ['nice', '-n', '10', ...ON_CLIENTS];

async function startGateway(env) {
  const gateway = await Gateway.start({workers: 1, env});
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', `1-${PROCESSORS - 1}`,
                           String(gateway.pid)], {stdio: 'ignore'});
  return gateway;
}

const seconds = (text) => Number(text.replace('s', ''));

// The dwell of all workers since the process began: edges in seconds, counts by bucket.
async function dwellOf(gateway) {
  const {node} = await gateway.call('NodeService/GetNode');
  const counts = node.workers.map(({dwell}) => dwell.counts.map(Number));
  return {
    edges: node.workers[0].dwell.edges.map(seconds),
    counts: counts[0].map((_, i) => counts.reduce((sum, one) => sum + one[i], 0)),
  };
}

// The upper edge of the bucket that the share lies in: "at most".
function atMost({edges}, counts, share) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (const [i, count] of counts.entries()) {
    seen += count;
    if (seen >= share * total) return edges[i] ?? Infinity;
  }
  return Infinity;
}

async function bench(gateway, ...args) {
  const [program, ...options] = CALLER;
  const child = spawn(
      program, [...options, process.env.VIGIL_CONTROL_BENCH, ...args, '--server', gateway.grpc],
      {stdio: ['ignore', 'inherit', 'inherit']});
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`the client ended with ${code}`);
}

async function measure(gateway, flooded) {
  const before = await dwellOf(gateway);
  if (flooded) {
    await bench(gateway, 'flood', '--seconds', String(SECONDS));
  } else {
    await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
  }
  const after = await dwellOf(gateway);
  const counts = after.counts.map((count, i) => count - before.counts[i]);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const over = counts.filter((_, i) => !(after.edges[i] <= 0.001)).reduce((sum, n) => sum + n, 0);
  const figure = (share) => `${(atMost(after, counts, share) * 1e6).toFixed(0)}`;
  console.log(`  ${flooded ? 'flood' : 'quiet'}  ${total} packets, dwell at most: p50 ` +
              `${figure(0.5)} us, p99 ${figure(0.99)} us, p99.9 ${figure(0.999)} us; over 1 ms: ` +
              `${(100 * over / total).toFixed(3)} %`);
}

async function forwarding(name, env) {
  const gateway = await startGateway(env);
  try {
    const media = await MediaLoad.start(gateway, {rooms: ROOMS, before: ON_CLIENTS});
    console.log(`${ROOMS} rooms, ${name}:`);
    for (let round = 0; round < ROUNDS; ++round) {
      await measure(gateway, false);
      await measure(gateway, true);
    }
    const {sent, received} = await media.stop();
    console.log(`  sent ${sent}, received ${received}`);
  } finally {
    await gateway.stop();
  }
}

async function commands() {
  for (let round = 0; round < ROUNDS; ++round) {
    const gateway = await startGateway(UNLIMITED);
    try {
      await bench(gateway, 'applied', '--offers', OFFERS);
      await bench(gateway, 'watches', '--offers', OFFERS, '--pid', String(gateway.pid));
    } finally {
      await gateway.stop();
    }
  }
}

await forwarding('calls limited as by default', {});
await forwarding('calls not limited', UNLIMITED);
await commands();
