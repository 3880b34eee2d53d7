;; CRC-64 as Redis has it (Jones' polynomial, reflected), eight bytes at a time. Memory: eight tables of 256 i64 at 0; the checksum so far,
;; little-endian, at 16384; what mark() keeps at 16392; what payload() answers at 16400; 53 powers at 16416; of 20 of them, by
;; half bytes, at 16840; the bytes to take from 57800 on.
;; init(): fills the tables; once. update(at, end): takes the bytes [at, end) into the checksum. mark(type) and payload(count, version): of the `count`
;; bytes that were taken since, the checksum that they have between a byte before and two behind them. No byte is looked at again: what two checksums
;; of the same bytes differ by depends only on what they differed by before, and on how many bytes there are.
(module
  (memory (export "memory") 3)
  (func (export "init")
    (local $byte i32) (local $bit i32) (local $crc i64) (local $at i32)
    (loop $bytes
      (local.set $crc (i64.extend_i32_u (local.get $byte)))
      (local.set $bit (i32.const 8))
      (loop $bits
        (local.set $crc
          (i64.xor
            (i64.shr_u (local.get $crc) (i64.const 1))
            (i64.and
              (i64.sub (i64.const 0) (i64.and (local.get $crc) (i64.const 1)))
              (i64.const 0x95ac9329ac4bc9b5))))
        (br_if $bits (local.tee $bit (i32.sub (local.get $bit) (i32.const 1)))))
      (i64.store (i32.shl (local.get $byte) (i32.const 3)) (local.get $crc))
      (br_if $bytes (i32.lt_u (local.tee $byte (i32.add (local.get $byte) (i32.const 1))) (i32.const 256))))
    ;; Each further table goes one zero byte on from the one before.
    (local.set $at (i32.const 2048))
    (loop $rest
      (local.set $crc (i64.load (i32.sub (local.get $at) (i32.const 2048))))
      (i64.store (local.get $at)
        (i64.xor
          (i64.shr_u (local.get $crc) (i64.const 8))
          (i64.load (i32.shl (i32.and (i32.wrap_i64 (local.get $crc)) (i32.const 255)) (i32.const 3)))))
      (br_if $rest (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 16384))))
    ;; x to the power of 8, 16, 32...: one zero byte on, two, four...
    (local.set $crc (i64.const 0x0080000000000000))
    (local.set $at (i32.const 16416))
    (loop $powers
      (i64.store (local.get $at) (local.get $crc))
      (local.set $crc (call $times (local.get $crc) (local.get $crc)))
      (br_if $powers (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 16840))))
    (call $fill))
  ;; 16 tables for each of the first 20 powers: what each half byte of a checksum is worth so many bytes on.
  (func $fill
    (local $at i32) (local $entry i32)
    (local.set $at (i32.const 16840))
    (loop $entries
      (local.set $entry (i32.sub (local.get $at) (i32.const 16840)))
      (i64.store (local.get $at)
        (call $times
          (i64.load offset=16416 (i32.shl (i32.shr_u (local.get $entry) (i32.const 11)) (i32.const 3)))
          (i64.shl
            (i64.extend_i32_u (i32.and (i32.shr_u (local.get $entry) (i32.const 3)) (i32.const 15)))
            (i64.extend_i32_u (i32.and (i32.shr_u (local.get $entry) (i32.const 5)) (i32.const 60))))))
      (br_if $entries (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 57800)))))
  ;; Times the power whose tables begin there.
  (func $shifted (param $table i32) (param $left i64) (result i64)
    (local $product i64) (local $end i32)
    (local.set $end (i32.add (local.get $table) (i32.const 2048)))
    (loop $halves
      (local.set $product
        (i64.xor
          (local.get $product)
          (i64.load
            (i32.add
              (local.get $table)
              (i32.and (i32.shl (i32.wrap_i64 (local.get $left)) (i32.const 3)) (i32.const 120))))))
      (local.set $left (i64.shr_u (local.get $left) (i64.const 4)))
      (br_if $halves
        (i32.lt_u (local.tee $table (i32.add (local.get $table) (i32.const 128))) (local.get $end))))
    (local.get $product))
  ;; Of polynomials, modulo Jones'.
  (func $times (param $a i64) (param $b i64) (result i64)
    (local $product i64)
    (loop $bits
      (local.set $product
        (i64.xor (local.get $product) (i64.and (local.get $b) (i64.shr_s (local.get $a) (i64.const 63)))))
      (local.set $b
        (i64.xor
          (i64.shr_u (local.get $b) (i64.const 1))
          (i64.and
            (i64.sub (i64.const 0) (i64.and (local.get $b) (i64.const 1)))
            (i64.const 0x95ac9329ac4bc9b5))))
      (br_if $bits (i64.ne (local.tee $a (i64.shl (local.get $a) (i64.const 1))) (i64.const 0))))
    (local.get $product))
  (func (export "mark") (param $type i32)
    (i64.store (i32.const 16392)
      (i64.xor (i64.load (i32.const 16384)) (i64.load (i32.shl (local.get $type) (i32.const 3))))))
  (func (export "payload") (param $count f64) (param $version i32)
    (local $difference i64) (local $power i32) (local $table i32) (local $crc i64) (local $left i64)
    (local.set $difference (i64.load (i32.const 16392)))
    (local.set $power (i32.const 16416))
    (local.set $table (i32.const 16840))
    (local.set $left (i64.trunc_f64_u (local.get $count)))
    (loop $bits
      (if (i32.wrap_i64 (i64.and (local.get $left) (i64.const 1)))
        (then
          (local.set $difference
            (if (result i64) (i32.lt_u (local.get $table) (i32.const 57800))
              (then (call $shifted (local.get $table) (local.get $difference)))
              (else (call $times (i64.load (local.get $power)) (local.get $difference)))))))
      (local.set $table (i32.add (local.get $table) (i32.const 2048)))
      (local.set $power (i32.add (local.get $power) (i32.const 8)))
      (br_if $bits
        (i64.ne (local.tee $left (i64.shr_u (local.get $left) (i64.const 1))) (i64.const 0))))
    (local.set $crc (i64.xor (i64.load (i32.const 16384)) (local.get $difference)))
    (local.set $left (i64.const 2))
    (loop $bytes
      (local.set $crc
        (i64.xor
          (i64.shr_u (local.get $crc) (i64.const 8))
          (i64.load
            (i32.shl
              (i32.and (i32.xor (i32.wrap_i64 (local.get $crc)) (local.get $version)) (i32.const 255))
              (i32.const 3)))))
      (local.set $version (i32.shr_u (local.get $version) (i32.const 8)))
      (br_if $bytes
        (i64.ne (local.tee $left (i64.sub (local.get $left) (i64.const 1))) (i64.const 0))))
    (i64.store (i32.const 16400) (local.get $crc)))
  (func (export "update") (param $at i32) (param $end i32)
    (local $crc i64) (local $end8 i32)
    (local.set $crc (i64.load (i32.const 16384)))
    (local.set $end8 (i32.sub (local.get $end) (i32.const 7)))
    (block $done8
      (loop $next8
        (br_if $done8 (i32.ge_s (local.get $at) (local.get $end8)))
        (local.set $crc (i64.xor (local.get $crc) (i64.load align=1 (local.get $at))))
        (local.set $crc
          (i64.xor
            (i64.xor
              (i64.xor
                (i64.load offset=14336 (i32.and (i32.shl (i32.wrap_i64 (local.get $crc)) (i32.const 3)) (i32.const 2040)))
                (i64.load offset=12288 (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 5))) (i32.const 2040))))
              (i64.xor
                (i64.load offset=10240 (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 13))) (i32.const 2040)))
                (i64.load offset=8192 (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 21))) (i32.const 2040)))))
            (i64.xor
              (i64.xor
                (i64.load offset=6144 (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 29))) (i32.const 2040)))
                (i64.load offset=4096 (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 37))) (i32.const 2040))))
              (i64.xor
                (i64.load offset=2048 (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 45))) (i32.const 2040)))
                (i64.load (i32.and (i32.wrap_i64 (i64.shr_u (local.get $crc) (i64.const 53))) (i32.const 2040)))))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next8)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_s (local.get $at) (local.get $end)))
        (local.set $crc
          (i64.xor
            (i64.shr_u (local.get $crc) (i64.const 8))
            (i64.load
              (i32.shl
                (i32.and (i32.xor (i32.wrap_i64 (local.get $crc)) (i32.load8_u (local.get $at))) (i32.const 255))
                (i32.const 3)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i64.store (i32.const 16384) (local.get $crc))))
