;; How far a probe's codes are from templates', by every template and by the few that are near.
;; layout.ts says what codes are; compare.ts says what distances mean. Popcounts of 64 bits at a time: the 128 bits of SIMD
;; have no popcount of their own, and were no faster.
;;
;; In:  a probe at $probe; words that are near, of up to $blockRows templates, at $block; all words of one template at $one.
;; Out: near() leaves a distance for each row at $distances; far() returns one.
;;
;; Invariant: outside of $distances nothing is written.
(module
  (memory (export "memory") 4 4)
  (global $probe (export "probe") i32 (i32.const 0))
  (global $block (export "block") i32 (i32.const 44032))
  ;; Templates of 160 bytes that fit there.
  (global $blockRows (export "blockRows") i32 (i32.const 1024))
  (global $distances (export "distances") i32 (i32.const 207872))
  (global $one (export "one") i32 (i32.const 211968))

  ;; Of each row: spectra in both frames, and the bits of the vector's signs that differ.
  (func (export "near") (param $rows i32)
    (local $row i32) (local $to i32)
    (local.set $row (global.get $block))
    (local.set $to (global.get $distances))
    (loop $each
      (i32.store (local.get $to) (i32.add (call $spectra (local.get $row)) (call $signs (local.get $row))))
      (local.set $row (i32.add (local.get $row) (i32.const 160)))
      (local.set $to (i32.add (local.get $to) (i32.const 4)))
      (br_if $each (local.tee $rows (i32.sub (local.get $rows) (i32.const 1))))))

  ;; Of the one template: spectra and grids in both frames.
  (func (export "far") (result i32)
    (i32.add
      (call $spectra (global.get $one))
      (call $bothFrames
        (call $leastGrid (i32.const 160) (i32.const 1440) (i32.const 332)
          (i32.add (global.get $one) (i32.const 160)) (i32.add (global.get $one) (i32.const 224)))
        (call $leastGrid (i32.const 288) (i32.const 1504) (i32.const 332)
          (i32.add (global.get $one) (i32.const 288)) (i32.add (global.get $one) (i32.const 352))))))

  (func $spectra (param $t i32) (result i32)
    (call $bothFrames
      (call $leastSpectrum (i32.const 0) (i32.const 416) (i32.const 8) (local.get $t))
      (call $leastSpectrum (i32.const 64) (i32.const 480) (i32.const 8) (i32.add (local.get $t) (i32.const 64)))))

  ;; The nearer frame counts twice.
  (func $bothFrames (param $a i32) (param $b i32) (result i32)
    (i32.add
      (i32.add (local.get $a) (local.get $b))
      (select (local.get $a) (local.get $b) (i32.lt_s (local.get $a) (local.get $b)))))

  (func $signs (param $t i32) (result i32)
    (i32.wrap_i64
      (i64.add
        (i64.add
          (i64.popcnt (i64.xor (i64.load (i32.const 128)) (i64.load offset=128 (local.get $t))))
          (i64.popcnt (i64.xor (i64.load (i32.const 136)) (i64.load offset=136 (local.get $t)))))
        (i64.add
          (i64.popcnt (i64.xor (i64.load (i32.const 144)) (i64.load offset=144 (local.get $t))))
          (i64.popcnt (i64.xor (i64.load (i32.const 152)) (i64.load offset=152 (local.get $t))))))))

  ;; The least distance of 512 bits at $t from those at $look, and from $looks more, 128 bytes apart from $rest on.
  (func $leastSpectrum (param $look i32) (param $rest i32) (param $looks i32) (param $t i32) (result i32)
    (local $least i32) (local $distance i32)
    (local $t0 i64) (local $t1 i64) (local $t2 i64) (local $t3 i64) (local $t4 i64) (local $t5 i64) (local $t6 i64) (local $t7 i64)
    (local.set $t0 (i64.load (local.get $t)))
    (local.set $t1 (i64.load offset=8 (local.get $t)))
    (local.set $t2 (i64.load offset=16 (local.get $t)))
    (local.set $t3 (i64.load offset=24 (local.get $t)))
    (local.set $t4 (i64.load offset=32 (local.get $t)))
    (local.set $t5 (i64.load offset=40 (local.get $t)))
    (local.set $t6 (i64.load offset=48 (local.get $t)))
    (local.set $t7 (i64.load offset=56 (local.get $t)))
    (local.set $least (i32.const 512))
    (loop $each
      (local.set $distance
        (i32.wrap_i64
          (i64.add
            (i64.add
              (i64.add
                (i64.popcnt (i64.xor (i64.load (local.get $look)) (local.get $t0)))
                (i64.popcnt (i64.xor (i64.load offset=8 (local.get $look)) (local.get $t1))))
              (i64.add
                (i64.popcnt (i64.xor (i64.load offset=16 (local.get $look)) (local.get $t2)))
                (i64.popcnt (i64.xor (i64.load offset=24 (local.get $look)) (local.get $t3)))))
            (i64.add
              (i64.add
                (i64.popcnt (i64.xor (i64.load offset=32 (local.get $look)) (local.get $t4)))
                (i64.popcnt (i64.xor (i64.load offset=40 (local.get $look)) (local.get $t5))))
              (i64.add
                (i64.popcnt (i64.xor (i64.load offset=48 (local.get $look)) (local.get $t6)))
                (i64.popcnt (i64.xor (i64.load offset=56 (local.get $look)) (local.get $t7))))))))
      (local.set $least
        (select (local.get $distance) (local.get $least) (i32.lt_s (local.get $distance) (local.get $least))))
      (local.set $look (local.get $rest))
      (local.set $rest (i32.add (local.get $rest) (i32.const 128)))
      (br_if $each (i32.ge_s (local.tee $looks (i32.sub (local.get $looks) (i32.const 1))) (i32.const 0))))
    (local.get $least))

  ;; The same of the bits that $mask has.
  (func $leastGrid (param $look i32) (param $rest i32) (param $looks i32) (param $t i32) (param $mask i32) (result i32)
    (local $least i32) (local $distance i32)
    (local $t0 i64) (local $t1 i64) (local $t2 i64) (local $t3 i64) (local $t4 i64) (local $t5 i64) (local $t6 i64) (local $t7 i64)
    (local $m0 i64) (local $m1 i64) (local $m2 i64) (local $m3 i64) (local $m4 i64) (local $m5 i64) (local $m6 i64) (local $m7 i64)
    (local.set $t0 (i64.load (local.get $t)))
    (local.set $t1 (i64.load offset=8 (local.get $t)))
    (local.set $t2 (i64.load offset=16 (local.get $t)))
    (local.set $t3 (i64.load offset=24 (local.get $t)))
    (local.set $t4 (i64.load offset=32 (local.get $t)))
    (local.set $t5 (i64.load offset=40 (local.get $t)))
    (local.set $t6 (i64.load offset=48 (local.get $t)))
    (local.set $t7 (i64.load offset=56 (local.get $t)))
    (local.set $m0 (i64.load (local.get $mask)))
    (local.set $m1 (i64.load offset=8 (local.get $mask)))
    (local.set $m2 (i64.load offset=16 (local.get $mask)))
    (local.set $m3 (i64.load offset=24 (local.get $mask)))
    (local.set $m4 (i64.load offset=32 (local.get $mask)))
    (local.set $m5 (i64.load offset=40 (local.get $mask)))
    (local.set $m6 (i64.load offset=48 (local.get $mask)))
    (local.set $m7 (i64.load offset=56 (local.get $mask)))
    (local.set $least (i32.const 512))
    (loop $each
      (local.set $distance
        (i32.wrap_i64
          (i64.add
            (i64.add
              (i64.add
                (i64.popcnt (i64.and (i64.xor (i64.load (local.get $look)) (local.get $t0)) (local.get $m0)))
                (i64.popcnt (i64.and (i64.xor (i64.load offset=8 (local.get $look)) (local.get $t1)) (local.get $m1))))
              (i64.add
                (i64.popcnt (i64.and (i64.xor (i64.load offset=16 (local.get $look)) (local.get $t2)) (local.get $m2)))
                (i64.popcnt (i64.and (i64.xor (i64.load offset=24 (local.get $look)) (local.get $t3)) (local.get $m3)))))
            (i64.add
              (i64.add
                (i64.popcnt (i64.and (i64.xor (i64.load offset=32 (local.get $look)) (local.get $t4)) (local.get $m4)))
                (i64.popcnt (i64.and (i64.xor (i64.load offset=40 (local.get $look)) (local.get $t5)) (local.get $m5))))
              (i64.add
                (i64.popcnt (i64.and (i64.xor (i64.load offset=48 (local.get $look)) (local.get $t6)) (local.get $m6)))
                (i64.popcnt (i64.and (i64.xor (i64.load offset=56 (local.get $look)) (local.get $t7)) (local.get $m7))))))))
      (local.set $least
        (select (local.get $distance) (local.get $least) (i32.lt_s (local.get $distance) (local.get $least))))
      (local.set $look (local.get $rest))
      (local.set $rest (i32.add (local.get $rest) (i32.const 128)))
      (br_if $each (i32.ge_s (local.tee $looks (i32.sub (local.get $looks) (i32.const 1))) (i32.const 0))))
    (local.get $least)))
