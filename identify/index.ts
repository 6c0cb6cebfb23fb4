// Who is it: the fleet as it serves now, the search over it, a member asked of its shard, thresholds and the policy.
export type { SearchResult } from "./asking.js";
export { type Fleet, openFleet, type Readiness, type Row, type Server } from "./fleet.js";
export { type KnownMember, type MemberAnswer, MemberClient } from "./members.js";
export type { Candidate, Ranked } from "./merge.js";
export { decide, type Evidence, type PolicyRules, type Verdict } from "./policy.js";
export { SearchClient, type SearchCounts, type SearchRequest } from "./search.js";
export { rulesOf, type SimilarityFor, similarityBy } from "./thresholds.js";
