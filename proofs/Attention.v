(** The objects of the book: an exponential, softmax, attention, a layer, a network.

    Nothing here is a real number in a machine: [R] is any field, or any ordered field, and [exp] what is said of it. *)

From mathcomp Require Import all_ssreflect all_fingroup all_algebra ring.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** All that is ever asked of the exponential function: it turns sums into products and lies above its tangent at 0.
    Over the real numbers e^x is the only such function. *)
Record exponential (R : realFieldType) := Exponential {
  exp :> R -> R;
  expD : forall x y, exp (x + y) = exp x * exp y;
  exp_tangent : forall x, 1 + x <= exp x
}.

Section Exponential.

Variables (R : realFieldType) (e : exponential R).

Lemma exp_gt1 x : 0 < x -> 1 < e x.
Proof. by move=> x0; apply: lt_le_trans (exp_tangent e x); rewrite ltr_addl. Qed.

Lemma exp0 : e 0 = 1.
Proof.
have e1 : e 1 != 0 by rewrite gt_eqF // (lt_trans ltr01 (exp_gt1 ltr01)).
by apply: (mulfI e1); rewrite -expD addr0 mulr1.
Qed.

Lemma exp_gt0 x : 0 < e x.
Proof.
have ex0 : e x != 0.
  apply/eqP => ex0; have /eqP := expD e x (- x).
  by rewrite subrr exp0 ex0 mul0r oner_eq0.
have half : e x = e (x / 2%:R) ^+ 2 by rewrite expr2 -expD -splitr.
by rewrite lt_def ex0 half sqr_ge0.
Qed.

Lemma exp_neq0 x : e x != 0.
Proof. by rewrite gt_eqF ?exp_gt0. Qed.

Lemma expN x : e (- x) = (e x)^-1.
Proof. by apply: (mulfI (exp_neq0 x)); rewrite -expD subrr exp0 mulfV ?exp_neq0. Qed.

Lemma ler_exp : {mono e : x y / x <= y}.
Proof.
apply: le_mono => x y; rewrite -subr_gt0 => xy.
by rewrite -(subrK x y) expD ltr_pmull ?exp_gt0 ?exp_gt1.
Qed.

Lemma ltr_exp : {mono e : x y / x < y}.
Proof. exact: leW_mono ler_exp. Qed.

End Exponential.

Section Attention.

Variables (R : fieldType) (exp : R -> R).

(** The inner product of two columns. *)
Definition dot n (u v : 'cV[R]_n) : R := (u^T *m v) 0 0.

(** Softmax of finitely many scores. *)
Definition softmax (J : finType) (s : J -> R) (j : J) : R := exp (s j) / \sum_k exp (s k).

(** What the reader [z] pays to point [j] of the context, with score matrix [M]. *)
Definition attention n (J : finType) (M : 'M[R]_n) (context : J -> 'cV[R]_n) (z : 'cV[R]_n) : J -> R :=
  softmax (fun j => dot z (M *m context j)).

(** One layer: what it makes of the token [z]. A head is its score matrix and its value matrix. *)
Definition layer n (J : finType) (heads : seq ('M[R]_n * 'M[R]_n)) (context : J -> 'cV[R]_n) (z : 'cV[R]_n) :=
  z + \sum_(head <- heads) head.2 *m \sum_j attention head.1 context z j *: context j.

(** A network of any depth: in each layer the context reads itself, and [z] reads the context. *)
Fixpoint network n (J : finType) (table : seq (seq ('M[R]_n * 'M[R]_n))) (context : J -> 'cV[R]_n) (z : 'cV[R]_n) :=
  if table is heads :: rest
  then network rest (fun j => layer heads context (context j)) (layer heads context z)
  else z.

(** The fresh label block of class [c] among [K] classes: e_c - 1/K. *)
Definition label K (c : 'I_K) : 'cV[R]_K := \col_k ((k == c)%:R - K%:R^-1).

Lemma eq_softmax (J : finType) (s s' : J -> R) : s =1 s' -> softmax s =1 softmax s'.
Proof. by move=> ss' j; rewrite /softmax ss'; congr (_ / _); apply: eq_bigr => k _; rewrite ss'. Qed.

Lemma eq_layer n (J : finType) heads (context context' : J -> 'cV[R]_n) z :
  context =1 context' -> layer heads context z = layer heads context' z.
Proof.
move=> same; congr (_ + _); apply: eq_bigr => head _; congr (_ *m _); apply: eq_bigr => j _; rewrite same.
by congr (_ *: _); apply: eq_softmax => k; rewrite same.
Qed.

Lemma eq_network n (J : finType) table (context context' : J -> 'cV[R]_n) z :
  context =1 context' -> network table context z = network table context' z.
Proof.
elim: table context context' z => //= heads rest IH context context' z same.
by rewrite (eq_layer _ _ same); apply: IH => j; rewrite same; apply: eq_layer.
Qed.

Lemma dotC n (u v : 'cV[R]_n) : dot u v = dot v u.
Proof. by rewrite /dot !mxE; apply: eq_bigr => i _; rewrite !mxE mulrC. Qed.

Lemma dotE n (u v : 'cV[R]_n) : dot u v = \sum_i u i 0 * v i 0.
Proof. by rewrite /dot mxE; apply: eq_bigr => i _; rewrite mxE. Qed.

Lemma dotDr n (u v w : 'cV[R]_n) : dot u (v + w) = dot u v + dot u w.
Proof. by rewrite /dot mulmxDr mxE. Qed.

Lemma dotDl n (u v w : 'cV[R]_n) : dot (u + v) w = dot u w + dot v w.
Proof. by rewrite dotC dotDr !(dotC w). Qed.

Lemma dotZr n a (u v : 'cV[R]_n) : dot u (a *: v) = a * dot u v.
Proof. by rewrite /dot -scalemxAr mxE. Qed.

Lemma dotZl n a (u v : 'cV[R]_n) : dot (a *: u) v = a * dot u v.
Proof. by rewrite dotC dotZr dotC. Qed.

Lemma dotNr n (u v : 'cV[R]_n) : dot u (- v) = - dot u v.
Proof. by rewrite -scaleN1r dotZr mulN1r. Qed.

Lemma dotNl n (u v : 'cV[R]_n) : dot (- u) v = - dot u v.
Proof. by rewrite dotC dotNr dotC. Qed.

Lemma dotBr n (u v w : 'cV[R]_n) : dot u (v - w) = dot u v - dot u w.
Proof. by rewrite dotDr dotNr. Qed.

Lemma dotBl n (u v w : 'cV[R]_n) : dot (u - v) w = dot u w - dot v w.
Proof. by rewrite dotDl dotNl. Qed.

Lemma dot0l n (u : 'cV[R]_n) : dot 0 u = 0.
Proof. by rewrite -(scale0r 0) dotZl mul0r. Qed.

Lemma dot0r n (u : 'cV[R]_n) : dot u 0 = 0.
Proof. by rewrite dotC dot0l. Qed.

Lemma dot_sumr n (I : Type) (r : seq I) (P : pred I) (u : 'cV[R]_n) (f : I -> 'cV[R]_n) :
  dot u (\sum_(i <- r | P i) f i) = \sum_(i <- r | P i) dot u (f i).
Proof. by apply: (big_morph (dot u)) => [v w|]; rewrite ?dotDr ?dot0r. Qed.

Lemma dot_suml n (I : Type) (r : seq I) (P : pred I) (f : I -> 'cV[R]_n) (u : 'cV[R]_n) :
  dot (\sum_(i <- r | P i) f i) u = \sum_(i <- r | P i) dot (f i) u.
Proof. by rewrite dotC dot_sumr; apply: eq_bigr => i _; rewrite dotC. Qed.

End Attention.

Lemma dot_ge0 (R : realFieldType) n (u : 'cV[R]_n) : 0 <= dot u u.
Proof. by rewrite dotE sumr_ge0 // => i _; rewrite -expr2 sqr_ge0. Qed.

Lemma dot_eq0 (R : realFieldType) n (u : 'cV[R]_n) : (dot u u == 0) = (u == 0).
Proof.
apply/idP/eqP => [|->]; last by rewrite dot0l.
rewrite dotE psumr_eq0 => [/allP u0|i _]; last by rewrite -expr2 sqr_ge0.
apply/colP => i; have := u0 i (mem_index_enum i).
by rewrite mxE -expr2 sqrf_eq0 => /eqP.
Qed.

(** Softmax weights are positive and add up to 1. *)
Lemma softmax_gt0 (R : realFieldType) (e : exponential R) (J : finType) (s : J -> R) j : 0 < softmax e s j.
Proof.
apply: divr_gt0; rewrite ?exp_gt0 // (bigD1 j) //=.
by rewrite ltr_paddr ?exp_gt0 // sumr_ge0 // => k _; rewrite ltW ?exp_gt0.
Qed.

Lemma softmax_sum (R : realFieldType) (e : exponential R) (J : finType) (s : J -> R) (j0 : J) :
  \sum_j softmax e s j = 1.
Proof.
rewrite -mulr_suml mulfV // gt_eqF // (bigD1 j0) //=.
by rewrite ltr_paddr ?exp_gt0 // sumr_ge0 // => k _; rewrite ltW ?exp_gt0.
Qed.

(** The layer [(x, u)] of the recursion has score matrices alpha I (+) beta I. *)
Lemma dot_block (R : fieldType) d K (x x' : 'cV[R]_d) (u u' : 'cV[R]_K) :
  dot (col_mx x u) (col_mx x' u') = dot x x' + dot u u'.
Proof. by rewrite /dot tr_col_mx mul_row_col mxE. Qed.

Lemma dot_label (R : realFieldType) K (c k : 'I_K) : dot (label R c) (label R k) = (c == k)%:R - K%:R^-1.
Proof.
have K0 : K%:R != 0 :> R by rewrite pnatr_eq0 -lt0n (leq_trans _ (ltn_ord c)).
have one (i : 'I_K) : \sum_j (j == i)%:R = 1 :> R.
  by rewrite (bigD1 i) //= eqxx big1 ?addr0 // => j /negbTE ->.
rewrite dotE (eq_bigr (fun i => (i == c)%:R * (i == k)%:R - K%:R^-1 * ((i == c)%:R + (i == k)%:R - K%:R^-1))).
  rewrite sumrB -mulr_sumr sumrB big_split /= !one sumr_const card_ord.
  rewrite (bigD1 c) //= eqxx mul1r big1 ?addr0 => [|j /negbTE ->]; last by rewrite mul0r.
  by rewrite -[K%:R^-1 *+ K]mulr_natr mulVf // addrK mulr1.
by move=> i _; rewrite !mxE; set a := (i == c)%:R; set b := (i == k)%:R; ring.
Qed.
