/** Something a test lets go on when it wants. */
export function gate<T>() {
  let open = (_: T) => {};
  let entered = () => {};
  const waiting = new Promise<T>((resolve) => {
    open = resolve;
  });
  const reached = new Promise<void>((resolve) => {
    entered = resolve;
  });
  return {
    wait: () => {
      entered();
      return waiting;
    },
    reached,
    open: (value: T) => open(value),
  };
}
