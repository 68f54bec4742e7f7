(** P1: directions that carry no label cancel, for any table and any depth.

    In a population whose tokens are all pairs (a, b) of a part that labels depend on and a part that they do not, the
    two parts move as if the other were not there. *)

From mathcomp Require Import all_ssreflect all_fingroup all_algebra ring.
From ICL Require Import Attention.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Population.

Variables (R : realFieldType) (e : exponential R).

(** The average of [f] under softmax attention over a population: point [j] has share [p j] and score [s j]. *)
Definition attended (V : lmodType R) (J : finType) (p s : J -> R) (f : J -> V) : V :=
  (\sum_j p j * e (s j))^-1 *: \sum_j (p j * e (s j)) *: f j.

(** Shares are not negative, and some are positive. A token of share 0 is a query: it reads and is not read. *)
Definition shares (J : finType) (p : J -> R) := (forall j, 0 <= p j) /\ exists j, 0 < p j.

Variables (I J : finType) (p : I -> R) (q : J -> R).

(** Shares of independent parts multiply. *)
Definition product (ij : I * J) : R := p ij.1 * q ij.2.

Lemma total_gt0 (T : finType) (r s : T -> R) : shares r -> 0 < \sum_k r k * e (s k).
Proof.
case=> r0 [t rt]; rewrite (bigD1 t) //= ltr_paddr ?mulr_gt0 ?exp_gt0 // sumr_ge0 // => k _.
by rewrite mulr_ge0 ?(ltW (exp_gt0 _ _)).
Qed.

(** The cancellation: where a score is a sum, an average of one part does not see the score of the other. *)
Theorem P1_cancel_right (V : lmodType R) (s : I -> R) (t : J -> R) (f : I -> V) : shares q ->
  attended product (fun ij => s ij.1 + t ij.2) (fun ij => f ij.1) = attended p s f.
Proof.
move=> q_shares; set B := \sum_j q j * e (t j).
have B0 : B != 0 by rewrite gt_eqF // total_gt0.
have termE i j : product (i, j) * e (s i + t j) = (p i * e (s i)) * (q j * e (t j)).
  by rewrite /product /= expD mulrACA.
rewrite /attended -(pair_bigA _ (fun i j => product (i, j) * e (s i + t j))) /=.
rewrite -(pair_bigA _ (fun i j => (product (i, j) * e (s i + t j)) *: f i)) /=.
have -> : \sum_i \sum_j product (i, j) * e (s i + t j) = B * \sum_i p i * e (s i).
  by rewrite mulr_sumr; apply: eq_bigr => i _; rewrite (eq_bigr _ (fun j _ => termE i j)) -mulr_sumr mulrC.
have -> : \sum_i \sum_j (product (i, j) * e (s i + t j)) *: f i = B *: \sum_i (p i * e (s i)) *: f i.
  rewrite scaler_sumr; apply: eq_bigr => i _; rewrite (eq_bigr (fun j => (p i * e (s i) * (q j * e (t j))) *: f i)).
    by rewrite -scaler_suml -mulr_sumr mulrC scalerA.
  by move=> j _; rewrite termE.
by rewrite scalerA invfM mulrAC mulVf // mul1r.
Qed.

(** And the other way round. *)
Theorem P1_cancel_left (V : lmodType R) (s : I -> R) (t : J -> R) (f : J -> V) : shares p ->
  attended product (fun ij => s ij.1 + t ij.2) (fun ij => f ij.2) = attended q t f.
Proof.
move=> p_shares; set A := \sum_i p i * e (s i).
have A0 : A != 0 by rewrite gt_eqF // total_gt0.
have termE i j : product (i, j) * e (s i + t j) = (p i * e (s i)) * (q j * e (t j)).
  by rewrite /product /= expD mulrACA.
rewrite /attended -(pair_bigA _ (fun i j => product (i, j) * e (s i + t j))) /=.
rewrite -(pair_bigA _ (fun i j => (product (i, j) * e (s i + t j)) *: f j)) /=.
have -> : \sum_i \sum_j product (i, j) * e (s i + t j) = A * \sum_j q j * e (t j).
  by rewrite mulr_suml; apply: eq_bigr => i _; rewrite (eq_bigr _ (fun j _ => termE i j)) -mulr_sumr.
have -> : \sum_i \sum_j (product (i, j) * e (s i + t j)) *: f j = A *: \sum_j (q j * e (t j)) *: f j.
  rewrite scaler_suml; apply: eq_bigr => i _; rewrite scaler_sumr; apply: eq_bigr => j _.
  by rewrite termE scalerA.
by rewrite scalerA invfM mulrAC mulVf // mul1r.
Qed.

End Population.

Section Depth.

Variables (R : realFieldType) (e : exponential R).

(** A head of the recursion: alpha, beta, gamma, delta; a layer is a list of heads and a table a list of layers. *)
Record head := Head { alpha : R; beta : R; gamma : R; delta : R }.

(** A population: shares, features and label blocks of its tokens, numbered by [J]. *)
Definition state d K (J : finType) := ((J -> 'cV[R]_d) * (J -> 'cV[R]_K))%type.

Definition scores d K (J : finType) (h : head) (z : state d K J) (i j : J) : R :=
  alpha h * dot (z.1 i) (z.1 j) + beta h * dot (z.2 i) (z.2 j).

Definition step d K (J : finType) (p : J -> R) (heads : seq head) (z : state d K J) : state d K J :=
  (fun i => z.1 i + \sum_(h <- heads) gamma h *: attended e p (scores h z i) z.1,
   fun i => z.2 i + \sum_(h <- heads) delta h *: attended e p (scores h z i) z.2).

Definition run d K (J : finType) (p : J -> R) (table : seq (seq head)) (z : state d K J) : state d K J :=
  foldl (fun z heads => step p heads z) z table.

(** Features a with labels u, and features b without: all pairs of them. *)
Definition paired k l K (I J : finType) (z : state k K I) (w : state l 0 J) : state (k + l) K [finType of I * J] :=
  (fun ij => col_mx (z.1 ij.1) (w.1 ij.2), fun ij => z.2 ij.1).

Lemma eq_attended (V : lmodType R) (J : finType) (p s s' : J -> R) (f f' : J -> V) :
  s =1 s' -> f =1 f' -> attended e p s f = attended e p s' f'.
Proof.
move=> ss ff; rewrite /attended (eq_bigr (fun j => p j * e (s' j))) => [|j _]; last by rewrite ss.
by congr (_ *: _); apply: eq_bigr => j _; rewrite ss ff.
Qed.

Lemma sum_col k l (T : Type) (r : seq T) (f : T -> 'cV[R]_k) (g : T -> 'cV[R]_l) :
  \sum_(t <- r) col_mx (f t) (g t) = col_mx (\sum_(t <- r) f t) (\sum_(t <- r) g t).
Proof. by elim/big_rec3: _ => [|t u v w _ ->]; rewrite ?col_mx0 ?add_col_mx. Qed.

Lemma attended_col k l (J : finType) (p s : J -> R) (f : J -> 'cV[R]_k) (g : J -> 'cV[R]_l) :
  attended e p s (fun j => col_mx (f j) (g j)) = col_mx (attended e p s f) (attended e p s g).
Proof.
rewrite /attended -scale_col_mx -sum_col; congr (_ *: _).
by apply: eq_bigr => j _; rewrite scale_col_mx.
Qed.

(** Equality of populations, token by token. *)
Definition same d K (J : finType) (z z' : state d K J) := z.1 =1 z'.1 /\ z.2 =1 z'.2.

Lemma step_paired k l K (I J : finType) (p : I -> R) (q : J -> R) heads s (z : state k K I) (w : state l 0 J) :
  shares p -> shares q -> same s (paired z w) ->
  same (step (product p q) heads s) (paired (step p heads z) (step q heads w)).
Proof.
move=> p_shares q_shares [s1 s2].
have scoreE h i j : scores h s (i, j) =1 fun ij => scores h z i ij.1 + scores h w j ij.2.
  move=> ij; rewrite /scores !s1 !s2 /= dot_block (_ : dot (w.2 j) (w.2 ij.2) = 0) ?mulr0 ?addr0.
    by rewrite mulrDr addrAC.
  by rewrite dotE big_ord0.
split; case=> i j /=; last first.
  rewrite s2 /=; congr (_ + _); apply: eq_bigr => h _; congr (_ *: _).
  by rewrite (eq_attended _ (scoreE h i j) s2) P1_cancel_right.
rewrite s1 /= -add_col_mx -sum_col; congr (_ + _); apply: eq_bigr => h _.
rewrite -scale_col_mx; congr (_ *: _).
by rewrite (eq_attended _ (scoreE h i j) s1) attended_col P1_cancel_right // P1_cancel_left.
Qed.

(** The population law: at any depth, with any heads, features that labels do not depend on leave labels and all other
    features alone, and are left alone by them. *)
Theorem P1_population k l K (I J : finType) (p : I -> R) (q : J -> R) table (z : state k K I) (w : state l 0 J) :
  shares p -> shares q -> same (run (product p q) table (paired z w)) (paired (run p table z) (run q table w)).
Proof.
move=> p_shares q_shares; rewrite /run.
suff all_states s : same s (paired z w) -> same (foldl (fun z heads => step (product p q) heads z) s table)
    (paired (foldl (fun z heads => step p heads z) z table) (foldl (fun w heads => step q heads w) w table)).
  exact: all_states.
elim: table s z w => //= heads rest IH s z w szw.
exact/IH/step_paired.
Qed.

End Depth.

Section Memory.

Variables (R : realFieldType) (e : exponential R) (m : nat).

(** With a memory each token holds [m] copies of its features and of its label block, the rows of two matrices, and each
    scalar of a head is a matrix that mixes copies. *)
Record mixing := Mixing { malpha : 'M[R]_m; mbeta : 'M[R]_m; mgamma : 'M[R]_m; mdelta : 'M[R]_m }.

(** The score that copies give to copies: the sum over a and b of [A a b] times the inner product of rows a and b. *)
Definition mixed d (A : 'M[R]_m) (x y : 'M[R]_(m, d)) : R := \sum_a \sum_b A a b * (x *m y^T) a b.

Definition mstate d K (J : finType) := ((J -> 'M[R]_(m, d)) * (J -> 'M[R]_(m, K)))%type.

Definition mscores d K (J : finType) (h : mixing) (z : mstate d K J) (i j : J) : R :=
  mixed (malpha h) (z.1 i) (z.1 j) + mixed (mbeta h) (z.2 i) (z.2 j).

Definition mstep d K (J : finType) (p : J -> R) (heads : seq mixing) (z : mstate d K J) : mstate d K J :=
  (fun i => z.1 i + \sum_(h <- heads) mgamma h *m attended e p (mscores h z i) z.1,
   fun i => z.2 i + \sum_(h <- heads) mdelta h *m attended e p (mscores h z i) z.2).

Definition mrun d K (J : finType) (p : J -> R) (table : seq (seq mixing)) (z : mstate d K J) : mstate d K J :=
  foldl (fun z heads => mstep p heads z) z table.

(** Features a with labels u, and features b without: all pairs of them, copy by copy. *)
Definition mpaired k l K (I J : finType) (z : mstate k K I) (w : mstate l 0 J) : mstate (k + l) K [finType of I * J] :=
  (fun ij => row_mx (z.1 ij.1) (w.1 ij.2), fun ij => z.2 ij.1).

Lemma mixed_row k l A (x x' : 'M[R]_(m, k)) (y y' : 'M[R]_(m, l)) :
  mixed A (row_mx x y) (row_mx x' y') = mixed A x x' + mixed A y y'.
Proof.
rewrite /mixed -big_split; apply: eq_bigr => a _ /=; rewrite -big_split; apply: eq_bigr => b _ /=.
by rewrite tr_row_mx mul_row_col mxE mulrDr.
Qed.

Lemma mixed_empty A (x y : 'M[R]_(m, 0)) : mixed A x y = 0.
Proof. by rewrite /mixed big1 // => a _; rewrite big1 // => b _; rewrite mxE big_ord0 mulr0. Qed.

Lemma sum_row k l (T : Type) (r : seq T) (f : T -> 'M[R]_(m, k)) (g : T -> 'M[R]_(m, l)) :
  \sum_(t <- r) row_mx (f t) (g t) = row_mx (\sum_(t <- r) f t) (\sum_(t <- r) g t).
Proof. by elim/big_rec3: _ => [|t u v w _ ->]; rewrite ?row_mx0 ?add_row_mx. Qed.

Lemma attended_row k l (J : finType) (p s : J -> R) (f : J -> 'M[R]_(m, k)) (g : J -> 'M[R]_(m, l)) :
  attended e p s (fun j => row_mx (f j) (g j)) = row_mx (attended e p s f) (attended e p s g).
Proof.
rewrite /attended -scale_row_mx -sum_row; congr (_ *: _).
by apply: eq_bigr => j _; rewrite scale_row_mx.
Qed.

(** Equality of populations, token by token. *)
Definition msame d K (J : finType) (z z' : mstate d K J) := z.1 =1 z'.1 /\ z.2 =1 z'.2.

Lemma mstep_paired k l K (I J : finType) (p : I -> R) (q : J -> R) heads s (z : mstate k K I) (w : mstate l 0 J) :
  shares p -> shares q -> msame s (mpaired z w) ->
  msame (mstep (product p q) heads s) (mpaired (mstep p heads z) (mstep q heads w)).
Proof.
move=> p_shares q_shares [s1 s2].
have scoreE h i j : mscores h s (i, j) =1 fun ij => mscores h z i ij.1 + mscores h w j ij.2.
  by move=> ij; rewrite /mscores !s1 !s2 /= mixed_row mixed_empty addr0 addrAC.
split; case=> i j /=; last first.
  rewrite s2 /=; congr (_ + _); apply: eq_bigr => h _; congr (_ *m _).
  by rewrite (eq_attended e _ (scoreE h i j) s2) P1_cancel_right.
rewrite s1 /= -add_row_mx -sum_row; congr (_ + _); apply: eq_bigr => h _.
rewrite -mul_mx_row; congr (_ *m _).
by rewrite (eq_attended e _ (scoreE h i j) s1) attended_row P1_cancel_right // P1_cancel_left.
Qed.

(** The population law with a memory: with any number of copies and heads, at any depth, features that labels do not
    depend on leave labels and all other features alone, and are left alone by them. *)
Theorem P1_memory k l K (I J : finType) (p : I -> R) (q : J -> R) table (z : mstate k K I) (w : mstate l 0 J) :
  shares p -> shares q -> msame (mrun (product p q) table (mpaired z w)) (mpaired (mrun p table z) (mrun q table w)).
Proof.
move=> p_shares q_shares; rewrite /mrun.
suff all_states s : msame s (mpaired z w) -> msame (foldl (fun z heads => mstep (product p q) heads z) s table)
    (mpaired (foldl (fun z heads => mstep p heads z) z table) (foldl (fun w heads => mstep q heads w) w table)).
  exact: all_states.
elim: table s z w => //= heads rest IH s z w szw.
exact/IH/mstep_paired.
Qed.

End Memory.
