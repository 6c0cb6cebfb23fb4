;; Lays a probe's line maps onto a template's, coarse maps and fine ones, and says how well they agree.
;; compare.ts says what agreement means and which alignments are tried; line-map.ts says what a map is (640 bytes: 4 planes
;; of 32 rows of 32 cells, then 4 planes of 16 rows of 16 cells; the fourth plane of each is that of the cells shown).
;;
;; In:  tables of weights at $fineTable and $coarseTable, for every number of cells shown in both a pair of f32; a template's
;;      map at $template, then spread(); the maps of a probe, one after another, at $probe.
;; Out: coarse() leaves a score for each pose and shift at $scores; fine() returns the best score about one alignment.
;;
;; Shifts of (dx, dy) lay the probe's cell (x + dx, y + dy) on the template's cell (x, y). The template is spread out
;; once: a copy for each dx, its rows shifted, with 8 empty rows above and below each plane, so that any dy is an offset.
;;
;; Invariants: outside of the places named here nothing is written; the empty rows about a spread plane stay 0.
(module
  (memory (export "memory") 1 1)
  (global $fineTable (export "fineTable") i32 (i32.const 0))
  (global $coarseTable (export "coarseTable") i32 (i32.const 8208))
  (global $template (export "template") i32 (i32.const 10272))
  ;; 15 shifts, -7 .. 7, of 4 planes of 48 rows of 4 bytes.
  (global $fineSpread i32 (i32.const 10912))
  ;; 7 shifts, -3 .. 3, of 4 planes of 32 rows of 2 bytes.
  (global $coarseSpread i32 (i32.const 22432))
  ;; [pose][dx + 3][dy + 3], f32.
  (global $scores (export "scores") i32 (i32.const 24224))
  (global $probe (export "probe") i32 (i32.const 29136))

  (func (export "spread")
    (call $spreadOut (global.get $template) (global.get $fineSpread)
      (i32.const 7) (i32.const 128) (i32.const 32) (i32.const 0))
    (call $spreadOut (i32.add (global.get $template) (i32.const 512)) (global.get $coarseSpread)
      (i32.const 3) (i32.const 32) (i32.const 16) (i32.const 1)))

  ;; Copies 4 planes of $bytes once for each shift of -$reach .. $reach columns, with $border empty bytes above and below;
  ;; a row has 16 bits where $halved, else 32. What is shifted over the edge is gone.
  (func $spreadOut (param $map i32) (param $to i32)
    (param $reach i32) (param $bytes i32) (param $border i32) (param $halved i32)
    (local $dx i32) (local $up i32) (local $down i32) (local $plane i32) (local $from i32) (local $end i32) (local $rows v128)
    (local.set $dx (i32.sub (i32.const 0) (local.get $reach)))
    (loop $shifts
      ;; One of the two is 0.
      (local.set $up (select (local.get $dx) (i32.const 0) (i32.gt_s (local.get $dx) (i32.const 0))))
      (local.set $down (i32.sub (local.get $up) (local.get $dx)))
      (local.set $from (local.get $map))
      (local.set $plane (i32.const 0))
      (loop $planes
        (local.set $to (i32.add (local.get $to) (local.get $border)))
        (local.set $end (i32.add (local.get $from) (local.get $bytes)))
        (loop $blocks
          (local.set $rows (v128.load (local.get $from)))
          (v128.store (local.get $to)
            (if (result v128) (local.get $halved)
              (then (i16x8.shr_u (i16x8.shl (local.get $rows) (local.get $up)) (local.get $down)))
              (else (i32x4.shr_u (i32x4.shl (local.get $rows) (local.get $up)) (local.get $down)))))
          (local.set $to (i32.add (local.get $to) (i32.const 16)))
          (br_if $blocks
            (i32.lt_u (local.tee $from (i32.add (local.get $from) (i32.const 16))) (local.get $end))))
        (local.set $to (i32.add (local.get $to) (local.get $border)))
        (br_if $planes (i32.lt_u (local.tee $plane (i32.add (local.get $plane) (i32.const 1))) (i32.const 4))))
      (br_if $shifts (i32.le_s (local.tee $dx (i32.add (local.get $dx) (i32.const 1))) (local.get $reach)))))

  ;; The coarse maps of all poses, at all shifts up to 3 coarse cells.
  (func (export "coarse") (param $poses i32)
    (local $map i32) (local $dx i32) (local $dy i32) (local $to i32) (local $column i32)
    (local.set $map (i32.add (global.get $probe) (i32.const 512)))
    (local.set $to (global.get $scores))
    (loop $eachPose
      (local.set $dx (i32.const -3))
      (loop $columns
        (local.set $column
          (i32.add (global.get $coarseSpread) (i32.mul (i32.add (local.get $dx) (i32.const 3)) (i32.const 256))))
        (local.set $dy (i32.const -3))
        (loop $rows
          ;; The probe's row r lies on the template's row r - dy, which is row 8 + r - dy of a spread plane.
          (f32.store (local.get $to)
            (call $score (local.get $map)
              (i32.add (local.get $column) (i32.shl (i32.sub (i32.const 8) (local.get $dy)) (i32.const 1)))
              (i32.const 32) (i32.const 64) (global.get $coarseTable)))
          (local.set $to (i32.add (local.get $to) (i32.const 4)))
          (br_if $rows (i32.le_s (local.tee $dy (i32.add (local.get $dy) (i32.const 1))) (i32.const 3))))
        (br_if $columns (i32.le_s (local.tee $dx (i32.add (local.get $dx) (i32.const 1))) (i32.const 3))))
      (local.set $map (i32.add (local.get $map) (i32.const 640)))
      (br_if $eachPose (local.tee $poses (i32.sub (local.get $poses) (i32.const 1))))))

  ;; The best score of a pose's fine map at the shift (x, y), -6 .. 6 each, and at its eight neighbours.
  (func (export "fine") (param $pose i32) (param $x i32) (param $y i32) (result f32)
    (local $map i32) (local $dx i32) (local $dy i32) (local $column i32) (local $best f32)
    (local.set $best (f32.const -1))
    (local.set $map (i32.add (global.get $probe) (i32.mul (local.get $pose) (i32.const 640))))
    (local.set $dx (i32.sub (local.get $x) (i32.const 1)))
    (loop $columns
      (local.set $column
        (i32.add (global.get $fineSpread) (i32.mul (i32.add (local.get $dx) (i32.const 7)) (i32.const 768))))
      (local.set $dy (i32.sub (local.get $y) (i32.const 1)))
      (loop $rows
        (local.set $best
          (f32.max (local.get $best)
            (call $score (local.get $map)
              (i32.add (local.get $column) (i32.shl (i32.sub (i32.const 8) (local.get $dy)) (i32.const 2)))
              (i32.const 128) (i32.const 192) (global.get $fineTable))))
        (br_if $rows
          (i32.le_s (local.tee $dy (i32.add (local.get $dy) (i32.const 1))) (i32.add (local.get $y) (i32.const 1)))))
      (br_if $columns
        (i32.le_s (local.tee $dx (i32.add (local.get $dx) (i32.const 1))) (i32.add (local.get $x) (i32.const 1)))))
    (local.get $best))

  ;; One alignment of a map at $p with a spread map at $t: planes of $pBytes, the latter's $tBytes apart.
  (func $score (param $p i32) (param $t i32) (param $pBytes i32) (param $tBytes i32) (param $table i32) (result f32)
    (local $p1 i32) (local $p2 i32) (local $p3 i32) (local $t1 i32) (local $t2 i32) (local $t3 i32) (local $at i32)
    (local $both v128) (local $x v128) (local $y v128) (local $z v128) (local $odd v128)
    (local $ones v128) (local $twos v128) (local $sums v128) (local $shown i64) (local $weights i32)
    (local.set $p1 (i32.add (local.get $p) (local.get $pBytes)))
    (local.set $p2 (i32.add (local.get $p1) (local.get $pBytes)))
    (local.set $p3 (i32.add (local.get $p2) (local.get $pBytes)))
    (local.set $t1 (i32.add (local.get $t) (local.get $tBytes)))
    (local.set $t2 (i32.add (local.get $t1) (local.get $tBytes)))
    (local.set $t3 (i32.add (local.get $t2) (local.get $tBytes)))
    (loop $blocks
      (local.set $both
        (v128.and (v128.load (i32.add (local.get $p3) (local.get $at))) (v128.load (i32.add (local.get $t3) (local.get $at)))))
      (local.set $x
        (v128.xor (v128.load (i32.add (local.get $p) (local.get $at))) (v128.load (i32.add (local.get $t) (local.get $at)))))
      (local.set $y
        (v128.xor (v128.load (i32.add (local.get $p1) (local.get $at))) (v128.load (i32.add (local.get $t1) (local.get $at)))))
      (local.set $z
        (v128.xor (v128.load (i32.add (local.get $p2) (local.get $at))) (v128.load (i32.add (local.get $t2) (local.get $at)))))
      ;; A full adder: how many of a cell's three bits differ, as ones and twos.
      (local.set $odd (v128.xor (local.get $x) (local.get $y)))
      ;; Bytes cannot overflow: each counts up to 8 cells in each of at most 8 blocks.
      (local.set $ones
        (i8x16.add (local.get $ones)
          (i8x16.popcnt (v128.and (local.get $both) (v128.xor (local.get $odd) (local.get $z))))))
      (local.set $twos
        (i8x16.add (local.get $twos)
          (i8x16.popcnt
            (v128.and (local.get $both)
              (v128.or (v128.and (local.get $x) (local.get $y)) (v128.and (local.get $odd) (local.get $z)))))))
      ;; The cells shown in both are counted by the scalar unit, which has nothing else to do meanwhile.
      (local.set $shown
        (i64.add (local.get $shown)
          (i64.add
            (i64.popcnt
              (i64.and
                (i64.load (i32.add (local.get $p3) (local.get $at)))
                (i64.load (i32.add (local.get $t3) (local.get $at)))))
            (i64.popcnt
              (i64.and
                (i64.load offset=8 (i32.add (local.get $p3) (local.get $at)))
                (i64.load offset=8 (i32.add (local.get $t3) (local.get $at))))))))
      (br_if $blocks
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $pBytes))))
    ;; A byte of ones + 2 * twos is at most 3 * 64.
    (local.set $sums
      (i32x4.extadd_pairwise_i16x8_u
        (i16x8.extadd_pairwise_i8x16_u
          (i8x16.add (local.get $ones) (i8x16.add (local.get $twos) (local.get $twos))))))
    (local.set $sums
      (i32x4.add (local.get $sums)
        (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $sums) (local.get $sums))))
    (local.set $weights (i32.add (local.get $table) (i32.shl (i32.wrap_i64 (local.get $shown)) (i32.const 3))))
    (f32.sub
      (f32.load (local.get $weights))
      (f32.mul
        (f32.load offset=4 (local.get $weights))
        (f32.convert_i32_u
          (i32.add (i32x4.extract_lane 0 (local.get $sums)) (i32x4.extract_lane 1 (local.get $sums))))))))
