// The environment that a foreign program gets from us: an operator's command, ffmpeg. Only what finding files and
// speaking a language needs: our own holds the master key, the operator's token and the password of the log.

const HANDED_ON = ["PATH", "HOME", "LANG"] as const;

export function childEnv(more: Record<string, string> = {}): Record<string, string> {
  const kept = HANDED_ON.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(kept), ...more };
}
