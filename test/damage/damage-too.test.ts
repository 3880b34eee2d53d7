import { testDamage } from './every-damage.ts';

testDamage(1);
