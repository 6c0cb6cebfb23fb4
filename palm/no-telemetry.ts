// ONNX Runtime's Linux builds report their use to their vendor, over the network, and leave files in the temporary
// directory, unless this variable is set when the library is loaded. A gateway that sees palms calls nobody.
//
// To be imported before onnxruntime-node, and by whoever starts a thread that loads it: only the main thread's
// process.env is the process's own.
process.env.ORT_DISABLE_TELEMETRY = "1";
