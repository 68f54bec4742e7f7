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

(** 1. Every deviation stays as it is, and class means move as stated, in any dimension, for any points. *)
Theorem T3_deviations i : x' i - class_mean x' y (y i) = x i - class_mean x y (y i).
Proof. by rewrite class_movedE ?occurs_at // movedE opprD addrACA subrr addr0. Qed.

Theorem T3_means c : occurs y c -> class_mean x' y c = (1 + \sum_h gamma h) *: mean x + g c *: offset x y c.
Proof.
move=> /class_movedE ->; rewrite /move scalerBl scale1r scalerDl scale1r.
move: (g c *: _) ((\sum_h _) *: _) => u v.
by rewrite /offset opprB addrC -!addrA addNr addr0 addrA addrC addrA.
Qed.


(** 2. The within-class scatter does not change, and the new offsets are g_c nu_c - b. *)
Theorem T3_within : within x' y = within x y.
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


(** The between-class scatter in full. *)
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

(** Bounds on the factors g_c of the classes that occur, and any matrix [P] without negative eigenvalue. *)
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

(** The trace of [P S_B] is multiplied by a factor within the squares of the bounds. All that follows is a choice of
    [P]: v v^T for the order of matrices, the identity for the separation, the inverse of S_W for the Fisher ratio. *)
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
  have each c :
      share y c *: (h c *: offset x y c) = share y c *: (g c *: offset x y c) - lo *: (share y c *: offset x y c).
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

(** Matrices: min g^2 S_B <= S_B+ <= max g^2 S_B. *)
Theorem T3_matrix_bounds :
  loewner (lo ^+ 2 *: between x y) (between x' y) /\ loewner (between x' y) (hi ^+ 2 *: between x y).
Proof.
split=> v; rewrite !dot_trace -scalemxAr mxtraceZ;
  by case/andP: (T3_bounds (outer_ge0 v) lo_ge0 lo_hi).
Qed.

(** Separation. *)
Theorem T3_separation_bounds : lo ^+ 2 * separation x y <= separation x' y <= hi ^+ 2 * separation x y.
Proof.
have one_ge0 (v : 'cV[R]_d) : 0 <= dot v (1%:M *m v) by rewrite mul1mx dot_ge0.
have := T3_bounds one_ge0 lo_ge0 lo_hi; rewrite !mul1mx => /andP [low high].
have t0 : 0 <= \tr (within x y).
  rewrite /within mxtraceZ mulr_ge0 ?invr_ge0 ?ler0n // raddf_sum sumr_ge0 // => i _ /=.
  by rewrite -[X in \tr X]mul1mx trace_outer mul1mx dot_ge0.
by rewrite /separation T3_within !mulrA !ler_wpmul2r ?invr_ge0.
Qed.

(** Fisher ratio. *)
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

(** ** Scores that compare fresh labels *)

Section Labels.

Variables (R : realFieldType) (e : exponential R) (d K : nat) (J : finType) (x : J -> 'cV[R]_d) (y : J -> 'I_K).

(** Own-class attention and its excess, for a class of share [s] and the weight [w] = e^beta. *)
Definition own_share (s w : R) : R := s * w / (1 - s + s * w).
Definition excess_share (s w : R) : R := s * (w - 1) / (1 + s * (w - 1)).

(** A layer of softmax attention with scores beta_h <u_i, u_j>, fresh labels u_i. *)
Definition label_attention (beta : R) (i : J) : J -> R :=
  softmax e (fun j => beta * dot (label R (y i)) (label R (y j))).
Definition label_layer (H : finType) (gamma beta : H -> R) : J -> 'cV[R]_d :=
  moved gamma (fun h => label_attention (beta h)) x.

Variables k l : J.
Hypothesis two_classes : y k != y l.

Lemma share_bounds c : occurs y c -> 0 < share R y c < 1.
Proof. by move=> occ; rewrite share_gt0 // (share_lt1 _ _ two_classes). Qed.

Lemma denominator_gt0 s w : 0 < s < 1 -> 0 < w -> 0 < 1 - s + s * w :> R.
Proof. by case/andP => s0 s1 w0; rewrite addr_gt0 ?subr_gt0 ?mulr_gt0. Qed.

(** 3. Such attention is even. *)
Theorem T3_label_attention beta i j :
  label_attention beta i j = even y (fun c => own_share (share R y c) (e beta)) i j.
Proof.
set c := y i; set w := e beta; pose t : R := K%:R^-1.
have scoreE k' : e (beta * dot (label R c) (label R (y k'))) = e (- (beta * t)) * (if y k' == c then w else 1).
  rewrite dot_label mulrBr expD mulrC; congr (_ * _).
  by rewrite eq_sym; case: (y k' == c); rewrite ?mulr1 ?mulr0 ?exp0.
have n0 : #|J|%:R != 0 :> R by rewrite gt_eqF // (points_gt0 _ (occurs_at y i)).
have c0 : size_of R y c != 0 by rewrite gt_eqF // size_gt0 ?occurs_at.
have nc : #|J|%:R - size_of R y c != 0 by rewrite gt_eqF // subr_gt0 (size_lt _ _ two_classes).
have D0 := denominator_gt0 (share_bounds (occurs_at y i)) (exp_gt0 e beta).
have sumE : \sum_k' (if y k' == c then w else 1) = #|J|%:R - size_of R y c + size_of R y c * w.
  rewrite (eq_bigr (fun k' => 1 + (w - 1) * (y k' == c)%:R)) => [|k' _]; last first.
    by case: (y k' == c); rewrite ?mulr1 ?mulr0 ?addr0 // addrC subrK.
  rewrite big_split /= sumr_const -mulr_sumr.
  have -> : \sum_k' (y k' == c)%:R = size_of R y c.
    rewrite /size_of -sum1dep_card natr_sum [RHS]big_mkcond /=.
    by apply: eq_bigr => k' _; case: (y k' == c).
  by move: (size_of R y c) (#|J|%:R) => u v; ring.
rewrite /label_attention /softmax (eq_bigr _ (fun k' _ => scoreE k')) scoreE -mulr_sumr sumE.
rewrite /even -/c /own_share /share -mulf_div mulfV ?exp_neq0 // mul1r.
have D1 : #|J|%:R - size_of R y c + size_of R y c * w != 0.
  rewrite gt_eqF // addr_gt0 ?mulr_gt0 ?exp_gt0 ?size_gt0 ?occurs_at //.
  by rewrite subr_gt0 (size_lt _ _ two_classes).
by case: (y j == c); field; rewrite ?D1 ?nc ?c0 ?n0.
Qed.

(** Its excess has the sign of beta. *)
Theorem T3_excess beta c : occurs y c ->
  [/\ excess y (fun c => own_share (share R y c) (e beta)) c = excess_share (share R y c) (e beta),
      (0 < excess_share (share R y c) (e beta)) = (0 < beta)
    & (excess_share (share R y c) (e beta) < 0) = (beta < 0)].
Proof.
move=> occ; have := share_bounds occ; set s := share R y c => s01.
have D0 := denominator_gt0 s01 (exp_gt0 e beta); case/andP: s01 => s0 s1.
have DE : 1 - s + s * e beta = 1 + s * (e beta - 1) by ring.
have S0 : 1 - s != 0 by rewrite gt_eqF // subr_gt0.
split.
- rewrite /excess -/s /own_share /excess_share; field.
  by rewrite S0 -DE gt_eqF.
- by rewrite /excess_share pmulr_lgt0 ?invr_gt0 -?DE // pmulr_rgt0 // subr_gt0 -(exp0 e) ltr_exp.
- by rewrite /excess_share pmulr_llt0 ?invr_gt0 -?DE // pmulr_rlt0 // subr_lt0 -(exp0 e) ltr_exp.
Qed.

Lemma eq_scatter (x1 x2 : J -> 'cV[R]_d) : x1 =1 x2 -> between x1 y = between x2 y /\ within x1 y = within x2 y.
Proof.
move=> same.
have same_class c : class_mean x1 y c = class_mean x2 y c by congr (_ *: _); apply: eq_bigr => j _.
have same_mean : mean x1 = mean x2 by congr (_ *: _); apply: eq_bigr => j _.
split; last by congr (_ *: _); apply: eq_bigr => j _; rewrite same same_class.
by apply: eq_bigr => c _; rewrite /offset same_class same_mean.
Qed.

Section LabelLayer.

Variables (H : finType) (gamma beta : H -> R).

Let own h c := own_share (share R y c) (e (beta h)).

Lemma label_layerE : label_layer gamma beta =1 moved gamma (fun h => even y (own h)) x.
Proof.
move=> i; congr (_ + _); apply: eq_bigr => h _; congr (_ *: _); apply: eq_bigr => j _.
by rewrite T3_label_attention.
Qed.

Lemma label_gain c : occurs y c -> gain gamma y own c = 1 + \sum_h gamma h * excess_share (share R y c) (e (beta h)).
Proof. by move=> occ; congr (_ + _); apply: eq_bigr => h _; have [-> _ _] := T3_excess (beta h) occ. Qed.

(** If all steps and all beta have the sign of attraction, classes come apart in every direction, and the scatter within
    them stays as it is. *)
Theorem T3_grows : (forall h, 0 <= gamma h) -> (forall h, 0 <= beta h) ->
  loewner (between x y) (between (label_layer gamma beta) y) /\ within (label_layer gamma beta) y = within x y.
Proof.
move=> gamma0 beta0; have [-> ->] := eq_scatter label_layerE.
split; last by apply: T3_within two_classes.
have excess0 h c : occurs y c -> 0 <= gamma h * excess_share (share R y c) (e (beta h)).
  move=> occ; have [_ pos _] := T3_excess (beta h) occ; apply: mulr_ge0 => //.
  have [<-|b0] := eqVneq 0 (beta h); first by rewrite exp0 /excess_share subrr mulr0 mul0r.
  by rewrite ltW // pos lt_def eq_sym b0 beta0.
pose hi := 1 + \sum_c \sum_h `|gamma h * excess_share (share R y c) (e (beta h))|.
have [] // := @T3_matrix_bounds _ _ _ _ x y H gamma own _ _ two_classes 1 hi ler01.
  move=> c occ; rewrite label_gain // ler_addl sumr_ge0 => [|h _]; last exact: excess0.
  rewrite ler_add2l (bigD1 c) //= ler_paddr ?sumr_ge0 // => [c' _|]; first by rewrite sumr_ge0.
  by apply: ler_sum => h _; apply: ler_norm.
by rewrite expr1n scale1r.
Qed.

(** 4. Classes of equal size: one factor, exactly. *)
Theorem T3_equal_sizes s : (forall c, occurs y c -> share R y c = s) ->
  let f := 1 + \sum_h gamma h * excess_share s (e (beta h)) in
  separation (label_layer gamma beta) y = f ^+ 2 * separation x y
    /\ fisher_ratio (label_layer gamma beta) y = f ^+ 2 * fisher_ratio x y.
Proof.
move=> equal f; have [SB SW] := eq_scatter label_layerE.
have [|_ sep fish] := @T3_equal _ _ _ _ x y H gamma own _ _ two_classes f.
  by move=> c occ; rewrite /f -(equal c occ); apply: label_gain.
by split; rewrite /separation /fisher_ratio SB SW.
Qed.

End LabelLayer.

(** With one head it is more than 1 if and only if gamma rho > 0 or gamma rho < -2. *)
Theorem T3_factor (a : R) : (1 < (1 + a) ^+ 2) = (0 < a) || (a < - 2%:R).
Proof.
rewrite -subr_gt0 (_ : (1 + a) ^+ 2 - 1 = a * (a + 2%:R)); last by ring.
have [a0|a0|->] := ltgtP a 0; last by rewrite mul0r ltxx oppr_gt0 ltrn0.
  by rewrite nmulr_rgt0 // -ltr_subr_addr sub0r.
by rewrite pmulr_rgt0 // addr_gt0 ?ltr0n.
Qed.

(** As beta grows it tends to (1 + gamma)^2, with an error below a multiple of 1 / beta. *)
Theorem T3_limit (s gamma beta : R) : 0 < s < 1 -> 0 < beta ->
  `|(1 + gamma * excess_share s (e beta)) ^+ 2 - (1 + gamma) ^+ 2| <= 2%:R * `|gamma| * (1 + `|gamma|) / (s * beta).
Proof.
case/andP=> s0 s1 beta0; set rho := excess_share _ _.
have D0 : 0 < 1 + s * (e beta - 1) by apply: addr_gt0 ltr01 _; apply: mulr_gt0 => //; rewrite subr_gt0 exp_gt1.
have rhoE : 1 - rho = (1 + s * (e beta - 1))^-1.
  by rewrite /rho /excess_share; field; rewrite gt_eqF.
have rho1 : 0 <= 1 - rho by rewrite rhoE invr_ge0 ltW.
have rho0 : 0 <= rho by rewrite /rho /excess_share divr_ge0 ?mulr_ge0 ?subr_ge0 // ltW // exp_gt1.
have close : 1 - rho <= (s * beta)^-1.
  rewrite rhoE lef_pinv ?posrE ?mulr_gt0 //.
  by apply: ler_paddl ler01 _; rewrite ler_pmul2l // ler_subr_addl exp_tangent.
have -> : (1 + gamma * rho) ^+ 2 - (1 + gamma) ^+ 2 = - (gamma * (1 - rho) * (2%:R + gamma * (1 + rho))) by ring.
rewrite normrN !normrM (ger0_norm rho1).
have -> : 2%:R * `|gamma| * (1 + `|gamma|) / (s * beta) = `|gamma| * (s * beta)^-1 * (2%:R * (1 + `|gamma|)) by ring.
apply: ler_pmul; rewrite ?mulr_ge0 ?normr_ge0 //; first by rewrite ler_wpmul2l ?normr_ge0.
have -> : 2%:R * (1 + `|gamma|) = 2%:R + `|gamma| * 2%:R by ring.
apply: le_trans (ler_norm_add _ _) _; rewrite normr_nat ler_add2l normrM.
apply: ler_wpmul2l (normr_ge0 _) _ _ _; rewrite ger0_norm ?addr_ge0 ?ler01 //.
by rewrite -[2%:R]/(1 + 1) ler_add2l -subr_ge0.
Qed.

End Labels.
