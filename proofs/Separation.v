(** T3: what attention to labels alone does to a sample. Any finite sample, any labels, any number of heads. *)

From mathcomp Require Import all_ssreflect all_fingroup all_algebra ring.
From ICL Require Import Attention.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Lemma outer_term (R : comRingType) d (p q : R) (o b : 'cV[R]_d) :
  p *: ((q *: o - b) *m (q *: o - b)^T)
    = (p * q ^+ 2) *: (o *m o^T) - (p *: (q *: o)) *m b^T - b *m (p *: (q *: o))^T + p *: (b *m b^T).
Proof.
apply/matrixP => i j; rewrite !mxE !big_ord1 !mxE.
by move: (o i 0) (b i 0) (o j 0) (b j 0) => a a' c c'; ring.
Qed.

(** ** A labelled sample, its means and its scatter *)

Section Sample.

(** Points [x i] with labels [y i]; [J] numbers the points, [C] is the set of classes. *)
Variables (R : realFieldType) (d : nat) (J C : finType).
Implicit Types (x : J -> 'cV[R]_d) (y : J -> C).

Definition size_of y c : R := #|[set j | y j == c]|%:R.
Definition share y c : R := size_of y c / #|J|%:R.
Definition mean x : 'cV[R]_d := #|J|%:R^-1 *: \sum_j x j.
Definition class_mean x y c : 'cV[R]_d := (size_of y c)^-1 *: \sum_(j | y j == c) x j.

(** The class mean seen from the mean of all: nu_c of the chapter. *)
Definition offset x y c := class_mean x y c - mean x.

Definition between x y : 'M[R]_d := \sum_c share y c *: (offset x y c *m (offset x y c)^T).
Definition within x y : 'M[R]_d :=
  #|J|%:R^-1 *: \sum_i (x i - class_mean x y (y i)) *m (x i - class_mean x y (y i))^T.

Definition separation x y : R := \tr (between x y) / \tr (within x y).
Definition fisher_ratio x y : R := \tr (invmx (within x y) *m between x y).

(** The order of symmetric matrices: [B - A] has no negative eigenvalue. *)
Definition loewner (A B : 'M[R]_d) := forall v : 'cV[R]_d, dot v (A *m v) <= dot v (B *m v).

(** A class occurs if a point has it. *)
Definition occurs y c := [exists j, y j == c].

(** Attention that is spread evenly: a point of class [c] pays [own c] to its class, itself included, and the rest to
    all others. *)
Definition even y (own : C -> R) (i j : J) : R :=
  if y j == y i then own (y i) / size_of y (y i) else (1 - own (y i)) / (#|J|%:R - size_of y (y i)).

(** Its excess over chance: rho_c. *)
Definition excess y (own : C -> R) c : R := (own c - share y c) / (1 - share y c).

(** The layer: [H] heads, with steps [gamma] and attention [A]. *)
Definition moved (H : finType) (gamma : H -> R) (A : H -> J -> J -> R) x i : 'cV[R]_d :=
  x i + \sum_h gamma h *: \sum_j A h i j *: x j.

(** The factor g_c = 1 + sum_h gamma_h rho_c^h. *)
Definition gain (H : finType) (gamma : H -> R) y (own : H -> C -> R) c : R := 1 + \sum_h gamma h * excess y (own h) c.

Lemma size_gt0 y c : occurs y c -> 0 < size_of y c.
Proof. by case/existsP => j jc; rewrite ltr0n; apply/card_gt0P; exists j; rewrite inE. Qed.

Lemma size_eq0 y c : ~~ occurs y c -> size_of y c = 0.
Proof.
move=> none; apply/eqP; rewrite pnatr_eq0 cards_eq0; apply/eqP/setP => j; rewrite !inE.
by apply/negbTE/(contra _ none) => jc; apply/existsP; exists j.
Qed.

Lemma occurs_at y j : occurs y (y j).
Proof. by apply/existsP; exists j. Qed.

Lemma size_lt y c i j : y i != y j -> size_of y c < #|J|%:R.
Proof.
move=> ij; rewrite ltr_nat -cardsT; apply: proper_card; rewrite properE subsetT /=.
apply/subsetPn; have [ic|ic] := eqVneq (y i) c; last by exists i; rewrite ?inE.
by exists j; rewrite ?inE // -ic eq_sym.
Qed.

Lemma points_gt0 y c : occurs y c -> 0 < #|J|%:R :> R.
Proof. by case/existsP => j _; rewrite ltr0n; apply/card_gt0P; exists j. Qed.

Lemma share_ge0 y c : 0 <= share y c.
Proof. by rewrite divr_ge0 ?ler0n. Qed.

Lemma share_gt0 y c : occurs y c -> 0 < share y c.
Proof. by move=> occ; rewrite divr_gt0 ?size_gt0 ?(points_gt0 occ). Qed.

Lemma share_lt1 y c i j : y i != y j -> share y c < 1.
Proof. by move=> ij; rewrite ltr_pdivr_mulr ?mul1r ?(size_lt _ ij) // (points_gt0 (occurs_at y i)). Qed.

(** A sum over points is a sum over classes. *)
Lemma sum_class (V : zmodType) y (f : J -> V) : \sum_j f j = \sum_c \sum_(j | y j == c) f j.
Proof. by rewrite (partition_big y xpredT). Qed.

Lemma class_sum x y c : size_of y c *: class_mean x y c = \sum_(j | y j == c) x j.
Proof.
have [occ|none] := boolP (occurs y c).
  by rewrite scalerA mulfV ?scale1r // gt_eqF ?size_gt0.
rewrite size_eq0 // scale0r big1 // => j jc.
by case/negP: none; apply/existsP; exists j.
Qed.

Lemma mean_classes x y : mean x = \sum_c share y c *: class_mean x y c.
Proof.
rewrite /mean (sum_class y) scaler_sumr; apply: eq_bigr => c _.
by rewrite -class_sum scalerA mulrC.
Qed.

Lemma share_sum y (j0 : J) : \sum_c share y c = 1.
Proof.
have n0 : #|J|%:R != 0 :> R by rewrite gt_eqF // (points_gt0 (occurs_at y j0)).
rewrite -mulr_suml -[RHS](mulfV n0); congr (_ * _).
rewrite -sum1_card natr_sum (sum_class y); apply: eq_bigr => c _.
by rewrite /size_of -sum1_card natr_sum; apply: eq_bigl => j; rewrite inE.
Qed.

Lemma offset_sum x y (j0 : J) : \sum_c share y c *: offset x y c = 0.
Proof.
under eq_bigr do rewrite scalerBr.
by rewrite sumrB -mean_classes -scaler_suml share_sum // scale1r subrr.
Qed.

(** What a head of even attention brings to a point of class [c]: the mean of all, plus rho_c nu_c. *)
Lemma even_brings x y own i k l : y k != y l ->
  \sum_j even y own i j *: x j = mean x + excess y own (y i) *: offset x y (y i).
Proof.
move=> kl; set c := y i.
have n0 : #|J|%:R != 0 :> R by rewrite gt_eqF // (points_gt0 (occurs_at y i)).
have c0 : size_of y c != 0 by rewrite gt_eqF // size_gt0 ?occurs_at.
have nc : #|J|%:R - size_of y c != 0 by rewrite gt_eqF // subr_gt0 (size_lt _ kl).
rewrite (bigID (fun j => y j == c)) /=.
rewrite (eq_bigr (fun j => (own c / size_of y c) *: x j)) => [|j jc]; last by rewrite /even jc.
rewrite [in X in _ + X](eq_bigr (fun j => ((1 - own c) / (#|J|%:R - size_of y c)) *: x j)) => [|j jc]; last first.
  by rewrite /even (negbTE jc).
rewrite -!scaler_sumr.
have -> : \sum_(j | y j != c) x j = \sum_j x j - \sum_(j | y j == c) x j.
  by rewrite [in RHS](bigID (fun j => y j == c)) /= addrC addrA addNr add0r.
rewrite /offset /class_mean /mean; set S := \sum_j x j; set T := \sum_(j | _) x j.
apply/colP => k'; rewrite !mxE /excess /share; move: (S k' 0) (T k' 0) => u v.
by field; rewrite nc c0 n0.
Qed.

Section Layer.

Variables (x : J -> 'cV[R]_d) (y : J -> C) (H : finType) (gamma : H -> R) (own : H -> C -> R) (k l : J).
Hypothesis two_classes : y k != y l.

Let x' := moved gamma (fun h => even y (own h)) x.
Let g := gain gamma y own.
Let b := \sum_c share y c *: (g c *: offset x y c).

Let move c := (\sum_h gamma h) *: mean x + (g c - 1) *: offset x y c.

Lemma movedE i : x' i = x i + move (y i).
Proof.
congr (_ + _); rewrite /move /g /gain [1 + _]addrC addrK 2!scaler_suml -big_split /=; apply: eq_bigr => h _.
by rewrite (even_brings _ _ _ two_classes) scalerDr scalerA.
Qed.

Lemma class_movedE c : occurs y c -> class_mean x' y c = class_mean x y c + move c.
Proof.
move=> occ; rewrite /class_mean (eq_bigr (fun j => x j + move c)) => [|j /eqP <-]; last exact: movedE.
rewrite big_split /= scalerDr; congr (_ + _).
rewrite sumr_const -scaler_nat scalerA (_ : #|_|%:R = size_of y c); last by rewrite /size_of cardsE.
by rewrite mulVf ?scale1r // gt_eqF ?size_gt0.
Qed.

Lemma T3_deviations i : x' i - class_mean x' y (y i) = x i - class_mean x y (y i).
Proof. by rewrite class_movedE ?occurs_at // movedE opprD addrACA subrr addr0. Qed.

Lemma T3_means c : occurs y c -> class_mean x' y c = (1 + \sum_h gamma h) *: mean x + g c *: offset x y c.
Proof.
move=> /class_movedE ->; rewrite /move scalerBl scale1r scalerDl scale1r.
move: (g c *: _) ((\sum_h _) *: _) => u v.
by rewrite /offset opprB addrC -!addrA addNr addr0 addrA addrC addrA.
Qed.


(** 2. The within-class scatter does not change, and the new offsets are g_c nu_c - b. *)
Lemma T3_within : within x' y = within x y.
Proof. by congr (_ *: _); apply: eq_bigr => i _; rewrite T3_deviations. Qed.

Lemma mean_moved : mean x' = (1 + \sum_h gamma h) *: mean x + b.
Proof.
rewrite (mean_classes _ y) (eq_bigr (fun c => share y c *: ((1 + \sum_h gamma h) *: mean x + g c *: offset x y c))).
  by under eq_bigr do rewrite scalerDr; rewrite big_split /= -scaler_suml share_sum // scale1r.
move=> c _; have [/T3_means -> //|none] := boolP (occurs y c).
by rewrite /share (size_eq0 none) mul0r !scale0r.
Qed.

Lemma T3_offsets c : occurs y c -> offset x' y c = g c *: offset x y c - b.
Proof. by move=> occ; rewrite {1}/offset T3_means // mean_moved opprD addrACA subrr add0r. Qed.


Theorem T3_between : between x' y = \sum_c (share y c * g c ^+ 2) *: (offset x y c *m (offset x y c)^T) - b *m b^T.
Proof.
rewrite [LHS](eq_bigr (fun c => (share y c * g c ^+ 2) *: (offset x y c *m (offset x y c)^T)
    - (share y c *: (g c *: offset x y c)) *m b^T - b *m (share y c *: (g c *: offset x y c))^T
    + share y c *: (b *m b^T))) => [|c _].
  rewrite big_split sumrB sumrB /= -mulmx_suml -mulmx_sumr -linear_sum -scaler_suml /=.
  by rewrite share_sum // scale1r addrNK.
have [/T3_offsets ->|none] := boolP (occurs y c); last first.
  by rewrite /share (size_eq0 none) !mul0r !scale0r linear0 mul0mx mulmx0 !subr0 addr0.
exact: outer_term.
Qed.

Section Bounds.

Variables (P : 'M[R]_d) (lo hi : R).
Hypothesis P_ge0 : forall v : 'cV[R]_d, 0 <= dot v (P *m v).
Hypothesis lo_ge0 : 0 <= lo.
Hypothesis lo_hi : forall c, occurs y c -> lo <= g c <= hi.

Lemma trace_outer (v : 'cV[R]_d) : \tr (P *m (v *m v^T)) = dot v (P *m v).
Proof. by rewrite mulmxA mxtrace_mulC trace_mx11. Qed.

Lemma trace_between w z : \tr (P *m between w z) = \sum_c share z c * dot (offset w z c) (P *m offset w z c).
Proof.
by rewrite mulmx_sumr raddf_sum /=; apply: eq_bigr => c _; rewrite -scalemxAr mxtraceZ trace_outer.
Qed.

Let form v := dot v (P *m v).

Lemma form_spread (v : C -> 'cV[R]_d) : let m := \sum_c share y c *: v c in
  \sum_c share y c * form (v c - m) = \sum_c share y c * form (v c) - form m.
Proof.
move=> m; rewrite (eq_bigr (fun c => share y c * form (v c) - share y c * dot (v c) (P *m m)
    - share y c * dot m (P *m v c) + share y c * form m)) => [|c _]; last first.
  by rewrite /form mulmxBr !dotBl !dotBr; move: (dot _ _) (dot _ _) (dot _ _) (dot _ _) => p q r s; ring.
rewrite big_split !sumrB /= -mulr_suml share_sum // mul1r.
have -> : \sum_c share y c * dot (v c) (P *m m) = form m.
  by rewrite /form {2}/m dot_suml; apply: eq_bigr => c _; rewrite dotZl.
have -> : \sum_c share y c * dot m (P *m v c) = form m.
  by rewrite /form {3}/m mulmx_sumr dot_sumr; apply: eq_bigr => c _; rewrite -scalemxAr dotZr.
by rewrite addrNK.
Qed.

Theorem T3_bounds :
  lo ^+ 2 * \tr (P *m between x y) <= \tr (P *m between x' y) <= hi ^+ 2 * \tr (P *m between x y).
Proof.
have -> : \tr (P *m between x' y) = \sum_c share y c * form (g c *: offset x y c) - form b.
  rewrite -form_spread trace_between; apply: eq_bigr => c _.
  have [/T3_offsets -> //|none] := boolP (occurs y c).
  by rewrite /share (size_eq0 none) !mul0r.
have formZ a v : form (a *: v) = a ^+ 2 * form v by rewrite /form -scalemxAr dotZl dotZr mulrA.
rewrite trace_between !mulr_sumr; apply/andP; split; last first.
  rewrite ler_subl_addr ler_paddr ?P_ge0 // ler_sum // => c _; rewrite formZ mulrCA.
  have [occ|none] := boolP (occurs y c); last by rewrite /share (size_eq0 none) !mul0r !mulr0.
  have /andP [lo_g g_hi] := lo_hi occ.
  have g0 := le_trans lo_ge0 lo_g.
  apply: ler_wpmul2r; first by rewrite mulr_ge0 ?share_ge0 ?P_ge0.
  by rewrite ler_sqr ?nnegrE // (le_trans g0).
pose h c := g c - lo.
have bE : b = \sum_c share y c *: (h c *: offset x y c).
  have each c : share y c *: (h c *: offset x y c) = share y c *: (g c *: offset x y c) - lo *: (share y c *: offset x y c).
    by rewrite /h scalerBl scalerBr; congr (_ - _); rewrite !scalerA mulrC.
  by rewrite (eq_bigr _ (fun c _ => each c)) sumrB -scaler_sumr (offset_sum _ _ k) scaler0 subr0.
have split c : share y c * form (g c *: offset x y c) = lo ^+ 2 * (share y c * form (offset x y c))
    + 2%:R * lo * (share y c * (h c * form (offset x y c))) + share y c * form (h c *: offset x y c).
  by rewrite !formZ /h; move: (g c) (share y c) (form _) => p q r; ring.
rewrite (eq_bigr _ (fun c _ => split c)) !big_split /= -!addrA ler_addl addr_ge0 //.
  apply: sumr_ge0 => c _.
  have [occ|none] := boolP (occurs y c); last by rewrite /share (size_eq0 none) !mul0r mulr0.
  have /andP [lo_g _] := lo_hi occ.
  have h0 : 0 <= g c - lo by rewrite subr_ge0.
  apply: mulr_ge0; first by rewrite mulr_ge0 ?ler0n.
  by apply: mulr_ge0 (share_ge0 y c) _; apply: mulr_ge0 h0 (P_ge0 _).
rewrite bE -form_spread; apply: sumr_ge0 => c _.
by rewrite mulr_ge0 ?share_ge0 ?P_ge0.
Qed.

End Bounds.

Lemma outer_ge0 (v w : 'cV[R]_d) : 0 <= dot w ((v *m v^T) *m w).
Proof. by rewrite -mulmxA [v^T *m w]mx11_scalar -/(dot v w) mul_mx_scalar dotZr dotC -expr2 sqr_ge0. Qed.

Lemma dot_trace (v : 'cV[R]_d) S : dot v (S *m v) = \tr ((v *m v^T) *m S).
Proof. by rewrite -mulmxA mxtrace_mulC -mulmxA trace_mx11. Qed.

Section Corollaries.

Variables lo hi : R.
Hypothesis lo_ge0 : 0 <= lo.
Hypothesis lo_hi : forall c, occurs y c -> lo <= g c <= hi.

Theorem T3_matrix_bounds :
  loewner (lo ^+ 2 *: between x y) (between x' y) /\ loewner (between x' y) (hi ^+ 2 *: between x y).
Proof.
split=> v; rewrite !dot_trace -scalemxAr mxtraceZ;
  by case/andP: (T3_bounds (outer_ge0 v) lo_ge0 lo_hi).
Qed.

Theorem T3_separation_bounds : lo ^+ 2 * separation x y <= separation x' y <= hi ^+ 2 * separation x y.
Proof.
have one_ge0 (v : 'cV[R]_d) : 0 <= dot v (1%:M *m v) by rewrite mul1mx dot_ge0.
have := T3_bounds one_ge0 lo_ge0 lo_hi; rewrite !mul1mx => /andP [low high].
have t0 : 0 <= \tr (within x y).
  rewrite /within mxtraceZ mulr_ge0 ?invr_ge0 ?ler0n // raddf_sum sumr_ge0 // => i _ /=.
  by rewrite -[X in \tr X]mul1mx trace_outer mul1mx dot_ge0.
by rewrite /separation T3_within !mulrA !ler_wpmul2r ?invr_ge0.
Qed.

Theorem T3_fisher_bounds : within x y \in unitmx ->
  lo ^+ 2 * fisher_ratio x y <= fisher_ratio x' y <= hi ^+ 2 * fisher_ratio x y.
Proof.
move=> inv; rewrite /fisher_ratio T3_within; apply: T3_bounds => // v.
set W := within x y in inv *; set w := invmx W *m v.
have -> : v = W *m w by rewrite mulmxA mulmxV // mul1mx.
rewrite dotC /W /within -scalemxAl dotZr mulmx_suml dot_sumr mulr_ge0 ?invr_ge0 ?ler0n //.
by apply: sumr_ge0 => i _; apply: outer_ge0.
Qed.

End Corollaries.

(** 4. One factor for all classes that occur. *)
Theorem T3_equal f : (forall c, occurs y c -> g c = f) ->
  [/\ between x' y = f ^+ 2 *: between x y, separation x' y = f ^+ 2 * separation x y
    & fisher_ratio x' y = f ^+ 2 * fisher_ratio x y].
Proof.
move=> gf.
have SB : between x' y = f ^+ 2 *: between x y.
  rewrite T3_between.
  have -> : b = 0.
    rewrite -[RHS](scaler0 _ f) -(offset_sum x y k) scaler_sumr; apply: eq_bigr => c _.
    have [/gf ->|none] := boolP (occurs y c); first by rewrite !scalerA mulrC.
    by rewrite /share (size_eq0 none) mul0r !scale0r scaler0.
  rewrite mul0mx subr0 scaler_sumr; apply: eq_bigr => c _; rewrite scalerA.
  have [/gf ->|none] := boolP (occurs y c); first by rewrite mulrC.
  by rewrite /share (size_eq0 none) mul0r mul0r mulr0.
split=> //; first by rewrite /separation T3_within SB mxtraceZ mulrA.
by rewrite /fisher_ratio T3_within SB -scalemxAr mxtraceZ.
Qed.

End Layer.
End Sample.
