;; The inner loop of the cutter. Memory: the gear table (256 u32) at 0, the bytes to scan from 1024 on.
;; scan(at, end, mask, hash): the first place p in [at, end) at which the rolling hash, bytes at..p included, has none of the mask's
;; bits; -1 when there is none. The hash as it was left is in $hash.
(module
  (memory (export "memory") 3)
  (global $hash (export "hash") (mut i32) (i32.const 0))
  (func (export "scan") (param $at i32) (param $end i32) (param $mask i32) (param $h i32) (result i32)
    (local $end4 i32)
    (local.set $end4 (i32.sub (local.get $end) (i32.const 3)))
    (block $done4
      (loop $next4
        (br_if $done4 (i32.ge_s (local.get $at) (local.get $end4)))
        (local.set $h (i32.add (i32.shl (local.get $h) (i32.const 1)) (i32.load (i32.shl (i32.load8_u offset=0 (local.get $at)) (i32.const 2)))))
        (if (i32.eqz (i32.and (local.get $h) (local.get $mask)))
          (then (global.set $hash (local.get $h)) (return (local.get $at))))
        (local.set $h (i32.add (i32.shl (local.get $h) (i32.const 1)) (i32.load (i32.shl (i32.load8_u offset=1 (local.get $at)) (i32.const 2)))))
        (if (i32.eqz (i32.and (local.get $h) (local.get $mask)))
          (then (global.set $hash (local.get $h)) (return (i32.add (local.get $at) (i32.const 1)))))
        (local.set $h (i32.add (i32.shl (local.get $h) (i32.const 1)) (i32.load (i32.shl (i32.load8_u offset=2 (local.get $at)) (i32.const 2)))))
        (if (i32.eqz (i32.and (local.get $h) (local.get $mask)))
          (then (global.set $hash (local.get $h)) (return (i32.add (local.get $at) (i32.const 2)))))
        (local.set $h (i32.add (i32.shl (local.get $h) (i32.const 1)) (i32.load (i32.shl (i32.load8_u offset=3 (local.get $at)) (i32.const 2)))))
        (if (i32.eqz (i32.and (local.get $h) (local.get $mask)))
          (then (global.set $hash (local.get $h)) (return (i32.add (local.get $at) (i32.const 3)))))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (br $next4)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_s (local.get $at) (local.get $end)))
        (local.set $h (i32.add (i32.shl (local.get $h) (i32.const 1)) (i32.load (i32.shl (i32.load8_u (local.get $at)) (i32.const 2)))))
        (if (i32.eqz (i32.and (local.get $h) (local.get $mask)))
          (then (global.set $hash (local.get $h)) (return (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (global.set $hash (local.get $h))
    (i32.const -1)))
