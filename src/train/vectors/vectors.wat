;; Loops of the optimizer over arrays of float32, four numbers at a time. Every pointer and length is in bytes; a length
;; is a multiple of 16 above 0, so an array has up to three numbers more than it is long.
;; `npm run wasm` compiles this into binary.ts.
(module
  (import "vectors" "memory" (memory 1))

  ;; AdamW (Loshchilov and Hutter 2019), with g = gradient * scale, in place:
  ;;   mean += (g - mean) * (1 - beta1)
  ;;   square = square * beta2 + g * g * (1 - beta2)
  ;;   weights -= weights * decay + rate * mean / (sqrt(square) * correction + epsilon)
  (func (export "adamw")
    (param $weights i32) (param $mean i32) (param $square i32) (param $gradient i32) (param $length i32)
    (param $scale f32) (param $oneMinusBeta1 f32) (param $beta2 f32) (param $oneMinusBeta2 f32)
    (param $decay f32) (param $rate f32) (param $correction f32) (param $epsilon f32)
    (local $i i32) (local $w v128) (local $m v128) (local $v v128) (local $g v128)
    (loop $next
      (local.set $g (f32x4.mul
        (v128.load (i32.add (local.get $gradient) (local.get $i)))
        (f32x4.splat (local.get $scale))))

      (local.set $m (v128.load (i32.add (local.get $mean) (local.get $i))))
      (local.set $m (f32x4.add
        (local.get $m)
        (f32x4.mul (f32x4.sub (local.get $g) (local.get $m)) (f32x4.splat (local.get $oneMinusBeta1)))))
      (v128.store (i32.add (local.get $mean) (local.get $i)) (local.get $m))

      (local.set $v (v128.load (i32.add (local.get $square) (local.get $i))))
      (local.set $v (f32x4.add
        (f32x4.mul (local.get $v) (f32x4.splat (local.get $beta2)))
        (f32x4.mul (f32x4.mul (local.get $g) (local.get $g)) (f32x4.splat (local.get $oneMinusBeta2)))))
      (v128.store (i32.add (local.get $square) (local.get $i)) (local.get $v))

      (local.set $w (v128.load (i32.add (local.get $weights) (local.get $i))))
      (v128.store (i32.add (local.get $weights) (local.get $i)) (f32x4.sub
        (local.get $w)
        (f32x4.add
          (f32x4.mul (local.get $w) (f32x4.splat (local.get $decay)))
          (f32x4.div
            (f32x4.mul (local.get $m) (f32x4.splat (local.get $rate)))
            (f32x4.add
              (f32x4.mul (f32x4.sqrt (local.get $v)) (f32x4.splat (local.get $correction)))
              (f32x4.splat (local.get $epsilon)))))))

      (local.set $i (i32.add (local.get $i) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $length)))))

  ;; into = (a + b) * factor
  (func (export "scaledSum")
    (param $into i32) (param $a i32) (param $b i32) (param $length i32) (param $factor f32)
    (local $i i32)
    (loop $next
      (v128.store (i32.add (local.get $into) (local.get $i)) (f32x4.mul
        (f32x4.add
          (v128.load (i32.add (local.get $a) (local.get $i)))
          (v128.load (i32.add (local.get $b) (local.get $i))))
        (f32x4.splat (local.get $factor))))
      (local.set $i (i32.add (local.get $i) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $length)))))

  ;; a += (b - a) * rate
  (func (export "approach") (param $a i32) (param $b i32) (param $length i32) (param $rate f32)
    (local $i i32) (local $x v128)
    (loop $next
      (local.set $x (v128.load (i32.add (local.get $a) (local.get $i))))
      (v128.store (i32.add (local.get $a) (local.get $i)) (f32x4.add
        (local.get $x)
        (f32x4.mul
          (f32x4.sub (v128.load (i32.add (local.get $b) (local.get $i))) (local.get $x))
          (f32x4.splat (local.get $rate)))))
      (local.set $i (i32.add (local.get $i) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $length)))))

  ;; The sum of squares, in double precision.
  (func (export "sumOfSquares") (param $x i32) (param $length i32) (result f64)
    (local $i i32) (local $four v128) (local $two v128) (local $sum v128) (local $other v128)
    (loop $next
      (local.set $four (v128.load (i32.add (local.get $x) (local.get $i))))
      (local.set $two (f64x2.promote_low_f32x4 (local.get $four)))
      (local.set $sum (f64x2.add (local.get $sum) (f64x2.mul (local.get $two) (local.get $two))))
      (local.set $two (f64x2.promote_low_f32x4
        (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $four) (local.get $four))))
      (local.set $other (f64x2.add (local.get $other) (f64x2.mul (local.get $two) (local.get $two))))
      (local.set $i (i32.add (local.get $i) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $length))))
    (local.set $sum (f64x2.add (local.get $sum) (local.get $other)))
    (f64.add (f64x2.extract_lane 0 (local.get $sum)) (f64x2.extract_lane 1 (local.get $sum)))))
