// The durable record: event log (JetStream), local views (LMDB), sealed bytes, member keys, enrolment, erasure, receipts.
export { type AppliedAnswer, type AppliedQuestion, askApplied } from "./applied.js";
export { Backoff } from "./backoff.js";
export {
  DATA_KEY_REFUSALS,
  type DataKeyRefusal,
  MASTER_KEY_SETTING,
  parseMasterKey,
} from "./data-key.js";
export {
  type Enrolment,
  type EnrolmentOutcome,
  enrolMember,
  type RecordDeps,
} from "./enrolment.js";
export { type ErasureFacts, type ErasureOutcome, type ErasureRequest, eraseMember } from "./erasure.js";
export { type Appended, type Deleted, type LogEvent, LogUnavailableError } from "./event.js";
export type { Follower, FollowOptions } from "./follower.js";
export { type MemberKeys, openMemberKeys } from "./keys.js";
export { type EventLog, openEventLog } from "./log.js";
export {
  consentChanged,
  decodeMemberEvent,
  erased,
  instrumentAdded,
  type MemberPlace,
} from "./member-events.js";
export { type Receipt, type ReceiptCheck, signingKeyId, signReceipt, verifyReceipt } from "./receipt.js";
export { type ResumedErasures, resumeErasures } from "./resume.js";
export {
  type Contact,
  type Instrument,
  instrumentAad,
  newDataKey,
  open,
  openContact,
  openInstrument,
  openTemplate,
  type SealedBytes,
  seal,
  sealInstrument,
  sealTemplate,
  type TemplatePlace,
  templateAad,
} from "./seal.js";
export {
  openView,
  type View,
  type ViewApplied,
  type ViewOptions,
  type ViewTable,
  type ViewTables,
} from "./view.js";
export { openViewReader, type ViewReader, type ViewReaderOptions } from "./view-reader.js";
export type { RangeOptions, TableEntry, WriteTable } from "./view-table.js";
