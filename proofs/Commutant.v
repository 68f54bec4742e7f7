(** Chapter 2: the matrices that commute with every block permutation form a space of dimension six. *)

From mathcomp Require Import all_ssreflect all_fingroup all_algebra.
From ICL Require Import Attention Equivariance.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import GRing.Theory.
Local Open Scope ring_scope.

Section Commutant.

Variables (F : fieldType) (d K : nat).

(** The space of all matrices that commute with every P (+) Q: the common kernel of A |-> Pi A - A Pi. *)
Definition commutator (Pi A : 'M[F]_(d + K)) : 'M[F]_(d + K) := Pi *m A - A *m Pi.

Lemma commutator_linear Pi : linear (commutator Pi).
Proof.
move=> a A B; rewrite /commutator mulmxDr mulmxDl -scalemxAr -scalemxAl scalerBr opprD.
by rewrite addrACA.
Qed.

Canonical commutator_is_linear Pi := Linear (commutator_linear Pi).

Definition commutant : {vspace 'M[F]_(d + K)} :=
  (\bigcap_(st : 'S_d * 'S_K) lker (linfun (commutator (block_perm F st.1 st.2))))%VS.

(** The six matrices of the chapter, without their scales: identities and all-ones matrices, block by block. *)
Definition I_d : 'M[F]_(d + K) := block_mx 1%:M 0 0 0.
Definition J_d : 'M[F]_(d + K) := block_mx (const_mx 1) 0 0 0.
Definition I_K : 'M[F]_(d + K) := block_mx 0 0 0 1%:M.
Definition J_K : 'M[F]_(d + K) := block_mx 0 0 0 (const_mx 1).
Definition J_dK : 'M[F]_(d + K) := block_mx 0 (const_mx 1) 0 0.
Definition J_Kd : 'M[F]_(d + K) := block_mx 0 0 (const_mx 1) 0.

(** Membership is what the name says. *)
Theorem commutantP A :
  reflect (forall (s : 'S_d) (t : 'S_K), block_perm F s t *m A = A *m block_perm F s t) (A \in commutant).
Proof.
rewrite memvE; apply: (iffP subv_bigcapP) => [sub s t | comm [s t] _].
  have := sub (s, t) isT; rewrite -memvE memv_ker lfunE /= subr_eq0; exact/eqP.
by rewrite -memvE memv_ker lfunE /= subr_eq0 comm.
Qed.

(** Permuting rows and columns moves entries; entries that can be moved onto each other are equal. *)
Lemma perm_entries p q (s : 'S_p) (t : 'S_q) (B : 'M[F]_(p, q)) i j :
  perm_mx s *m B = B *m perm_mx t -> B (s i) (t j) = B i j.
Proof.
rewrite -row_permE -[perm_mx t](congr1 _ (invgK t)) -col_permE => /matrixP /(_ i (t j)).
by rewrite !mxE permK.
Qed.

Lemma constant_block p q (B : 'M[F]_(p, q)) :
  (forall s t i j, B (fun_of_perm s i) (fun_of_perm t j) = B i j) -> exists a, B = a *: const_mx 1.
Proof.
move=> same; case: (pickP (fun _ : 'I_p * 'I_q => true)) => [[i0 j0] _ | none].
  exists (B i0 j0); apply/matrixP => i j; rewrite !mxE mulr1.
  by rewrite -[RHS](same (tperm i0 i) (tperm j0 j)) !tpermL.
by exists 0; apply/matrixP => i j; have := none (i, j).
Qed.

Lemma square_block n (B : 'M[F]_n) :
  (forall s i j, B (fun_of_perm s i) (fun_of_perm s j) = B i j) -> exists a b, B = a *: 1%:M + b *: const_mx 1.
Proof.
move=> same.
have [b off] : exists b, forall i j, i != j -> B i j = b.
  case: (pickP (fun ij : 'I_n * 'I_n => ij.1 != ij.2)) => [[i0 j0] /= ij0 | none].
    exists (B i0 j0) => i j ij.
    rewrite -[RHS](same (tperm i0 i * tperm (tperm i0 i j0) j)%g) !permM !tpermL tpermD //.
      by rewrite -{2}(tpermL i0 i) (inj_eq perm_inj) eq_sym.
    by rewrite eq_sym.
  by exists 0 => i j ij; have := none (i, j); rewrite /= ij.
have [a on] : exists a, forall i, B i i = a.
  case: (pickP (fun _ : 'I_n => true)) => [i0 _ | none]; last by exists 0 => i; have := none i.
  by exists (B i0 i0) => i; rewrite -[RHS](same (tperm i0 i)) !tpermL.
exists (a - b), b; apply/matrixP => i j; rewrite !mxE mulr1.
by have [->|/off ->] := eqVneq i j; rewrite ?on ?mulr1 ?subrK // mulr0 add0r.
Qed.

Lemma mixtureE a b c a' b' c' :
  a *: I_d + b *: J_d + c *: I_K + a' *: J_K + b' *: J_dK + c' *: J_Kd
    = block_mx (a *: 1%:M + b *: const_mx 1) (b' *: const_mx 1) (c' *: const_mx 1) (c *: 1%:M + a' *: const_mx 1).
Proof. by rewrite !scale_block_mx !add_block_mx !scaler0 !addr0 !add0r. Qed.

(** A matrix commutes with the group if and only if it is a mixture of the six. *)
Theorem commutant_mixture A :
  reflect (exists a b c a' b' c', A = a *: I_d + b *: J_d + c *: I_K + a' *: J_K + b' *: J_dK + c' *: J_Kd)
          (A \in commutant).
Proof.
apply: (iffP (commutantP A)) => [comm | [a [b [c [a' [b' [c' ->]]]]]] s t]; last first.
  rewrite mixtureE /block_perm !mulmx_block !mulmx0 !mul0mx !addr0 !add0r.
  have L p q (r : 'S_p) : perm_mx r *m const_mx 1 = const_mx 1 :> 'M[F]_(p, q).
    by rewrite -row_permE; apply/matrixP => i j; rewrite !mxE.
  have L' p q (r : 'S_q) : const_mx 1 *m perm_mx r = const_mx 1 :> 'M[F]_(p, q).
    by rewrite -[r]invgK -col_permE; apply/matrixP => i j; rewrite !mxE.
  by rewrite !mulmxDl !mulmxDr -!scalemxAl -!scalemxAr !L !L' !mul1mx !mulmx1.
have blocks s t := comm s t; move: blocks; rewrite -[A]submxK.
set A1 := ulsubmx A; set A2 := ursubmx A; set A3 := dlsubmx A; set A4 := drsubmx A => blocks.
have {}blocks s t : [/\ perm_mx s *m A1 = A1 *m perm_mx s, perm_mx s *m A2 = A2 *m perm_mx t,
    perm_mx t *m A3 = A3 *m perm_mx s & perm_mx t *m A4 = A4 *m perm_mx t].
  have := blocks s t; rewrite /block_perm !mulmx_block !mulmx0 !mul0mx !addr0 !add0r.
  by move=> /eq_block_mx [].
have [|a [b ->]] := @square_block d A1 => [s i j|]; first by apply: perm_entries; case: (blocks s 1%g).
have [|c [a' ->]] := @square_block K A4 => [t i j|]; first by apply: perm_entries; case: (blocks 1%g t).
have [|b' ->] := @constant_block d K A2 => [s t i j|]; first by apply: perm_entries; case: (blocks s t).
have [|c' ->] := @constant_block K d A3 => [t s i j|]; first by apply: perm_entries; case: (blocks s t).
by exists a, b, c, a', b', c'; rewrite mixtureE.
Qed.

(** The six are independent, but for a block of size one, where identity and average are the same. *)
Lemma mixture_eq0 a b c a' b' c' : (0 < d)%N -> (0 < K)%N -> (1 < d)%N || (b == 0) -> (1 < K)%N || (a' == 0) ->
  a *: I_d + b *: J_d + c *: I_K + a' *: J_K + b' *: J_dK + c' *: J_Kd = 0 ->
  [/\ a = 0, b = 0, c = 0 & [/\ a' = 0, b' = 0 & c' = 0]].
Proof.
have square n u v : (0 < n)%N -> (1 < n)%N || (v == 0) -> u *: 1%:M + v *: const_mx 1 = 0 :> 'M[F]_n -> u = 0 /\ v = 0.
  move=> n0 n1 /matrixP zero.
  have v0 : v = 0.
    case/orP: n1 => [n1 | /eqP //]; have := zero (Ordinal n0) (Ordinal n1).
    by rewrite !mxE mulr0 add0r mulr1.
  by split=> //; have := zero (Ordinal n0) (Ordinal n0); rewrite !mxE eqxx v0 mul0r addr0 mulr1.
have rect p q u : (0 < p)%N -> (0 < q)%N -> u *: const_mx 1 = 0 :> 'M[F]_(p, q) -> u = 0.
  by move=> p0 q0 /matrixP /(_ (Ordinal p0) (Ordinal q0)); rewrite !mxE mulr1.
move=> d0 K0 d1 K1; rewrite mixtureE -block_mx0 => /eq_block_mx [/(square d a b d0 d1) [-> ->]].
by move=> /(rect _ _ _ d0 K0) -> /(rect _ _ _ K0 d0) -> /(square K c a' K0 K1) [-> ->].
Qed.

(** The dimension is six, one less for each block of size one: whatever the field, and also where d = K. *)
Theorem commutant_dimension : (0 < d)%N -> (0 < K)%N -> \dim commutant = ((1 < d) + (1 < K) + 4)%N.
Proof.
move=> d0 K0.
pose X := [:: I_d] ++ nseq (1 < d)%N J_d ++ [:: I_K] ++ nseq (1 < K)%N J_K ++ [:: J_dK; J_Kd].
have six a b c a' b' c' : a *: I_d + b *: J_d + c *: I_K + a' *: J_K + b' *: J_dK + c' *: J_Kd \in commutant.
  by apply/commutant_mixture; exists a, b, c, a', b', c'.
have one n : (n <= 1)%N -> const_mx 1 = 1%:M :> 'M[F]_n.
  case: n => [|[|//]] _; first by rewrite !flatmx0.
  by apply/matrixP => i j; rewrite !mxE !ord1.
have -> : commutant = <<X>>%VS.
  apply/eqP; rewrite eqEsubv; apply/andP; split.
    apply/subvP => A /commutant_mixture [a [b [c [a' [b' [c' ->]]]]]].
    have JdX : J_d \in <<X>>%VS.
      case d1: (1 < d)%N; first by apply: memv_span; rewrite /X d1 !mem_cat !inE eqxx !orbT.
      have -> : J_d = I_d by rewrite /J_d one // leqNgt d1.
      by apply: memv_span; rewrite /X !inE eqxx.
    have JKX : J_K \in <<X>>%VS.
      case K1: (1 < K)%N; first by apply: memv_span; rewrite /X K1 !mem_cat !inE eqxx !orbT.
      have -> : J_K = I_K by rewrite /J_K one // leqNgt K1.
      by apply: memv_span; rewrite /X !mem_cat !inE eqxx !orbT.
    by rewrite !memvD // memvZ // memv_span // /X !mem_cat !inE eqxx ?orbT.
  apply/span_subvP => A; rewrite !mem_cat !inE.
  have [s0 s1] := (fun B : 'M[F]_(d + K) => scale0r B, fun B : 'M[F]_(d + K) => scale1r B).
  have:= six 1 0 0 0 0 0; have:= six 0 1 0 0 0 0; have:= six 0 0 1 0 0 0.
  have:= six 0 0 0 1 0 0; have:= six 0 0 0 0 1 0; have:= six 0 0 0 0 0 1.
  rewrite !s0 !s1 !add0r !addr0 => c1 c2 c3 c4 c5 c6.
  case/or4P => [/eqP -> // | /nseqP [-> _] // | /eqP -> // | ];
    by case/or3P => [/nseqP [-> _] | /eqP -> | /eqP ->].
have /eqP -> : free X; last by rewrite !size_cat !size_nseq /= addnCA addnC; case: (1 < d)%N (1 < K)%N => [] [].
apply/freeP => u; pose w n := if insub n is Some i then u i else 0.
have uE i : u i = w (nat_of_ord i) by rewrite /w valK.
rewrite (eq_bigr (fun i => w (nat_of_ord i) *: X`_i)) => [|i _]; last by rewrite uE.
move=> zero i; rewrite uE; move: (nat_of_ord i) (ltn_ord i) zero => {i} n.
rewrite /X.
have := mixture_eq0; case d1: (1 < d)%N; case K1: (1 < K)%N => indep;
  rewrite !big_ord_recl big_ord0 /bump /= addr0 !addrA => lt zero.
- have [] := indep (w 0%N) (w 1%N) (w 2%N) (w 3%N) (w 4%N) (w 5%N); rewrite ?d1 ?K1 // => ? ? ? [? ? ?].
  by move: n lt => [|[|[|[|[|[|//]]]]]] _.
- have [] := indep (w 0%N) (w 1%N) (w 2%N) 0 (w 3%N) (w 4%N); rewrite ?d1 ?K1 ?eqxx ?scale0r ?addr0 // => ? ? ? [? ? ?].
  by move: n lt => [|[|[|[|[|//]]]]] _.
- have [] := indep (w 0%N) 0 (w 1%N) (w 2%N) (w 3%N) (w 4%N); rewrite ?d1 ?K1 ?eqxx ?scale0r ?addr0 // => ? ? ? [? ? ?].
  by move: n lt => [|[|[|[|[|//]]]]] _.
- have [] := indep (w 0%N) 0 (w 1%N) 0 (w 2%N) (w 3%N); rewrite ?d1 ?K1 ?eqxx ?scale0r ?addr0 // => ? ? ? [? ? ?].
  by move: n lt => [|[|[|[|//]]]] _.
Qed.

End Commutant.
