// The durable record: event log (JetStream), local views (LMDB), sealed bytes, member keys, enrolment, erasure, sagas,
// payments, receipts.
export { type AppliedAnswer, type AppliedQuestion, askApplied, type Confirmation } from "./applied.js";
export { DATA_KEY_REFUSALS, type DataKeyRefusal } from "./data-key.js";
export { type EnrolPlace, openEnrolIntent, sealEnrolIntent } from "./enrol-intent.js";
export { type Enrolment, type Stored, storeMember } from "./enrolment.js";
export { type Destroyed, type Destruction, destroyMember } from "./erasure.js";
export { type Appended, type Deleted, type LogEvent, LogUnavailableError } from "./event.js";
export type { Follower, FollowOptions } from "./follower.js";
export { type Holders, openHolders } from "./holders.js";
export { type FetchedKey, fetchDataKey, type MemberKeys, openMemberKeys } from "./keys.js";
export { type EventLog, openEventLog } from "./log.js";
export {
  decodeMemberEvent,
  keySubjectOf,
  memberSubjectOf,
  profileChanged,
} from "./member-events.js";
export {
  isPaymentEnd,
  type LastStep,
  nextStep,
  openPaymentLog,
  type PaymentAt,
  type PaymentLog,
  type PaymentPlace,
  processorKey,
  readPayment,
  type StepAppended,
} from "./payments/payment-log.js";
export type {
  AuthoriseAnswer,
  AuthoriseRequest,
  DeclineCode,
  MoveAnswer,
  PaymentProcessor,
  ProcessorState,
  QueryAnswer,
} from "./payments/processor.js";
export { readSandbox, type SandboxOptions, type SandboxRow, sandboxProcessor } from "./payments/sandbox.js";
export { booksRef, pairwiseRoot } from "./pseudonyms.js";
export {
  type Receipt,
  type ReceiptCheck,
  type ReceiptFacts,
  receiptSchema,
  signingKeyId,
  signReceipt,
  verifyReceipt,
} from "./receipt.js";
export {
  type Advanced,
  type Begun,
  hasEnded,
  openSagas,
  readSaga,
  type Saga,
  type SagaAdvance,
  type SagaFollower,
  type SagaOrder,
  type SagaStepName,
  type Sagas,
} from "./sagas.js";
export {
  openProfile,
  openTemplate,
  type Signature,
  sealProfile,
  sealTemplate,
  type TemplatePlace,
  templateAad,
} from "./seal.js";
export { type Served, ServedBy, type ServedDeps, UNSERVED_AFTER_MS } from "./served.js";
export { Silence } from "./silence.js";
export type { StreamOptions } from "./streams.js";
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
