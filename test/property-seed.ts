// Property tests draw the same cases in every run, so that a red gate is the change's own doing. To look for new
// counterexamples: PALMGATE_TEST_SEED=$RANDOM npx vitest run test/<room>
import fc from "fast-check";

const DEFAULT_SEED = 20_261_122;

fc.configureGlobal({ seed: Number(process.env.PALMGATE_TEST_SEED ?? DEFAULT_SEED) });
